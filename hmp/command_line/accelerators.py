"""What executes the guest: ``-accel`` and ``-machine accel=``. None does here."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import Blame, HelpAnswer
from hmp.command_line.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_HELP = "Accelerators supported in QEMU binary:\ntcg\nkvm"
_BOOLEAN, _NUMBER, _WORDS = "bool", "uint32_t", "words"
# Those that QEMU has for this machine, with their properties.
_KNOWN = {
    "tcg": {"thread": _WORDS, "tb-size": _NUMBER, "split-wx": _BOOLEAN},
    "kvm": {"kernel-irqchip": _WORDS, "kvm-shadow-mem": _NUMBER, "dirty-ring-size": _NUMBER},
}
_THREADS = ("single", "multi")
_LARGEST = (1 << 32) - 1


class Accelerators(OptionFamily):
    """Those that are asked for, in order; the first that there is counts.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._asked: list[tuple[str, dict[str, str], str]] = []

    def take(self, option: Option) -> None:
        """Take ``-accel``.

        Raises:
            HelpAnswer: it asks what there is.
        """
        options = self._read(option, "accel")
        name = options.pop("accel", "help")
        if name in ("help", "?"):
            raise HelpAnswer(_HELP)
        self._asked.append((name, options, option.text))

    def choose(self, of_machine: str | None) -> None:
        """See that there is one of them.

        Args:
            of_machine: the names that ``-machine`` wants, parted by colons; None for no matter.

        Raises:
            QemuError: there is none, or one can't be as asked.
        """
        if of_machine is not None:
            if self._asked:
                raise QemuError('The -accel and "-machine accel=" options are incompatible')
            self._choose([(name, {}, "") for name in of_machine.split(":")])
        else:
            self._choose(self._asked)

    def _choose(self, asked: list[tuple[str, dict[str, str], str]]) -> None:
        for index, (name, options, text) in enumerate(asked):
            if name in _KNOWN:
                with Blame(text):
                    _check(name, options)
                if index:
                    self._warn(f"falling back to {name}")
                return
            fault = f"{text}: invalid accelerator {name}" if text else f"invalid accelerator {name}"
            if index == len(asked) - 1:
                raise QemuError(fault)
            self._warn(fault)


def _check(name: str, options: dict[str, str]) -> None:
    from hmp.command_line.option_groups import read_number

    for key, value in options.items():
        kind = _KNOWN[name].get(key)
        if kind is None:
            raise QemuError(f"Property '{name}-accel.{key}' not found")
        if kind == _BOOLEAN and value not in ("on", "off"):
            raise QemuError(f"Parameter '{key}' expects 'on' or 'off'")
        if kind == _NUMBER:
            number = read_number(value)
            if number is None:
                raise QemuError(f"Parameter '{key}' expects uint64")
            if number > _LARGEST:
                raise QemuError(f"Parameter '{key}' expects {kind}")
        if key == "thread" and value not in _THREADS:
            raise QemuError(f"Invalid 'thread' setting {value}")
