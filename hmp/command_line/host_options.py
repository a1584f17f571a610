"""What the command line says of the process itself, and of what it does when the guest ends."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import Blame, about
from hmp.command_line.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine

_REPLAY_MODES = ("record", "replay")
_MAX_ICOUNT_SHIFT = 10
_LARGEST_SEED = (1 << 64) - 1
_SANDBOX_WORDS = {
    "obsolete": ("allow", "deny"),
    "elevateprivileges": ("allow", "deny", "children"),
    "spawn": ("allow", "deny"),
    "resourcecontrol": ("allow", "deny"),
}
_COMPAT_WORDS = {
    "input": ("accept", "reject", "crash"),
    "output": ("accept", "hide"),
}
_ANGLES = ("0", "90", "180", "270")
_STANDARD_STREAMS = 3


class HostOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._actions: dict[str, str] = {}
        self._is_single_stepping = False
        self._descriptors: list[tuple[dict[str, str], str]] = []
        self.takers: dict[str, Callable[[Option], None]] = {
            "action": self._take_action,
            "watchdog-action": lambda option: self._act("watchdog", option.value, option),
            "no-reboot": lambda option: self._act("reboot", "shutdown", option),
            "no-shutdown": lambda option: self._act("shutdown", "pause", option),
            "sandbox": self._take_sandbox,
            "icount": self._take_icount,
            "add-fd": self._take_descriptor,
            **dict.fromkeys(("msg", "overcommit", "iscsi"), self._take_checked),
            "singlestep": self._take_single_steps,
            "seed": _take_seed,
            "compat": _take_compat,
            "rotate": _take_rotate,
            **dict.fromkeys(("xen-domid", "xen-attach", "xen-domid-restrict"), _refuse_xen),
        }

    def apply(self, machine: Machine) -> None:
        """Let the machine know.

        Raises:
            QemuError: a descriptor can't be passed on.
        """
        machine.actions.update(self._actions)
        machine.is_single_stepping = self._is_single_stepping
        given = set()
        for options, text in self._descriptors:
            with Blame(text):
                given.add(_add_descriptor(machine, options))
        for fd in given:
            os.close(fd)  # its sets have copies

    def _take_checked(self, option: Option) -> None:
        """What is right or wrong, but changes nothing that could be seen here."""
        self._read_group(option)

    def _take_single_steps(self, option: Option) -> None:
        self._is_single_stepping = True

    def _take_action(self, option: Option) -> None:
        for key, value in self._read_group(option).items():
            self._act(key, value, option)

    def _act(self, key: str, value: str, option: Option) -> None:
        from machine.power import ACTIONS

        if value not in ACTIONS[key]:
            raise about(option, QemuError(f"Parameter '{key}' does not accept value '{value}'"))
        self._actions[key] = value

    def _take_sandbox(self, option: Option) -> None:
        options = self._read_group(option)
        if options.get("enable") != "on":
            return
        for key, words in _SANDBOX_WORDS.items():
            if key in options and options[key] not in words:
                raise about(option, QemuError(f"invalid argument for {key}"))

    def _take_icount(self, option: Option) -> None:
        """The guest's time by its instructions; none of ours executes any, so nothing changes."""
        from hmp.command_line.option_groups import read_number

        options = self._read_group(option)
        shift, mode = options.get("shift"), options.get("rr")
        with Blame(option.text):
            if mode is not None and mode not in _REPLAY_MODES:
                raise QemuError(f"Invalid icount rr option: {mode}")
            if mode is not None and "rrfile" not in options:
                raise QemuError("File name not specified for replay")
            if shift is None and options.get("align") == "on":
                raise QemuError("Please specify shift option when using align")
            if options.get("align") == "on" and options.get("sleep") == "off":
                raise QemuError("align=on and sleep=off are incompatible")
            if shift is not None and shift != "auto":
                number = read_number(shift)
                if number is None or number > _MAX_ICOUNT_SHIFT:
                    raise QemuError("icount: Invalid shift value")
        if mode is not None:
            raise QemuError(f"{option.text}: not simulated yet")

    def _take_descriptor(self, option: Option) -> None:
        self._descriptors.append((self._read_group(option), option.text))


def _add_descriptor(machine: Machine, options: dict[str, str]) -> int:
    """Put a copy of a descriptor that this process was started with into a set; which it was.

    Raises:
        QemuError: it is none of those, or the options don't say enough.
    """
    from hmp.command_line.option_groups import read_number

    numbers = {key: read_number(options[key]) for key in ("fd", "set") if key in options}
    fd, number = numbers.get("fd"), numbers.get("set")
    if fd is None:
        raise QemuError("fd option is required and must be non-negative")
    if fd < _STANDARD_STREAMS:
        raise QemuError("fd cannot be a standard I/O stream")
    if number is None:
        raise QemuError("set option is required and must be non-negative")
    try:
        if not os.get_inheritable(fd):  # one that this process opened itself
            raise OSError
        copy = os.dup(fd)
    except (OSError, OverflowError) as error:
        raise QemuError("fd is not valid or already in use") from error
    machine.descriptor_sets.add(copy, number, options.get("opaque"))
    return fd


def _take_seed(option: Option) -> None:
    from hmp.command_line.option_groups import read_number

    number = None if option.value.lstrip().startswith("-") else read_number(option.value)
    if number is None or number > _LARGEST_SEED:
        raise about(option, QemuError(f"Invalid seed number: {option.value}"))


def _take_compat(option: Option) -> None:
    from machine.keyval import parse_keyval

    with Blame(option.text):
        for key, value in parse_keyval(option.value, "").items():
            kind, _, way = key.partition("-")
            if kind not in ("deprecated", "unstable") or way not in _COMPAT_WORDS:
                raise QemuError(f"Parameter '{key}' is unexpected")
            if value not in _COMPAT_WORDS[way]:
                raise QemuError(f"Parameter '{key}' does not accept value '{value}'")


def _take_rotate(option: Option) -> None:
    if option.value not in _ANGLES:
        raise about(option, QemuError("only 90, 180, 270 deg rotation is available"))


def _refuse_xen(option: Option) -> None:
    raise about(option, QemuError("Option not supported for this target"))
