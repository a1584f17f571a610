"""Back ends that no device here uses: sound, folders, security chips, screens far away.

What is right is taken, and makes nothing; what is wrong is refused as QEMU does.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import Blame, HelpAnswer, about
from hmp.command_line.options import Option
from machine.schema import KEYVAL, Bool, Enum, Integer, Member, Struct, Text, read_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine

_AUDIO_DRIVERS = "none alsa coreaudio dbus dsound jack oss pa sdl sndio spice wav"
_AUDIO_DIRECTION = (
    Member("mixing-engine", Bool()),
    Member("fixed-settings", Bool()),
    Member("frequency", Integer(32, is_signed=False)),
    Member("channels", Integer(32, is_signed=False)),
    Member("voices", Integer(32, is_signed=False)),
    Member("format", Enum("u8 s8 u16 s16 u32 s32 f32")),
    Member("buffer-length", Integer(32, is_signed=False)),
)
_AUDIO = (
    Member("id", Text(), is_optional=False),
    Member("driver", Enum(_AUDIO_DRIVERS), is_optional=False),
    Member("timer-period", Integer(32, is_signed=False)),
)
_SECURITY_MODELS = ("passthrough", "mapped-xattr", "mapped-file", "none")
_FOLDER_DRIVERS = ("local", "synth", "proxy")
_TPM_TYPES = ("passthrough", "emulator")
_TPM_HELP = (
    "Supported TPM types (choose only one):\n"
    " passthrough   Passthrough TPM backend driver\n"
    "    emulator   TPM emulator backend driver"
)
_PLAIN_AUDIO = ("none", "wav")  # those that need nothing of the host


class SideOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._memory_path: str | None = None
        self.takers: dict[str, Callable[[Option], None]] = {
            "audiodev": _take_audio,
            "fsdev": self._take_folder,
            "tpmdev": self._take_security_chip,
            "vnc": _take_screen,
            "mem-path": self._take_memory_path,
            "dfilter": _take_filter,
        }

    def _take_folder(self, option: Option) -> None:
        options = self._read_group(option)
        with Blame(option.text):
            if "id" not in options:
                raise QemuError("fsdev: No id specified")
            driver = options.get("fsdriver", "")
            if driver not in _FOLDER_DRIVERS:
                raise QemuError(f"fsdev: fsdriver {driver} not found")
            if driver == "local":
                _check_local_folder(options)
            elif "path" in options:
                raise QemuError(f"'path' is invalid for fsdriver '{driver}'")
            elif driver == "proxy" and not {"socket", "sock_fd"} & set(options):
                raise QemuError("both socket and sock_fd properties are missing")

    def _take_security_chip(self, option: Option) -> None:
        if option.value in ("help", "?"):
            self._complain(_TPM_HELP)
            raise HelpAnswer("", status=1)
        options = self._read(option, "type")
        with Blame(option.text):
            if "id" not in options:
                raise QemuError("Parameter 'id' is missing")
            if "type" not in options:
                raise QemuError(f"Parameter 'type' is missing\n{_TPM_HELP}")
            if options["type"] not in _TPM_TYPES:
                raise QemuError(f"Parameter 'type' expects a TPM backend type\n{_TPM_HELP}")
        raise QemuError(f"{option.text}: not simulated yet")

    def _take_memory_path(self, option: Option) -> None:
        self._memory_path = option.value

    def apply(self, machine: Machine) -> None:
        """Look at what the machine's memory was to lie in.

        Raises:
            QemuError: a file of another size.
        """
        path = self._memory_path
        if path is None or not machine.ram_size or not os.path.isfile(path):
            return
        size = os.stat(path).st_size
        if size and size != machine.ram_size:
            raise QemuError(
                f"backing store size {size:#x} does not match 'size' option {machine.ram_size:#x}"
            )


def _take_audio(option: Option) -> None:
    from hmp.qmp.json_parser import parse_object
    from machine.keyval import parse_keyval

    with Blame(option.text):
        is_json = option.value.startswith("{")
        values = parse_object(option.value) if is_json else parse_keyval(option.value, "driver")
        driver = values.get("driver", "")
        more = [Member("path", Text())] if driver == "wav" else []
        directions = [Member(way, Struct(*_AUDIO_DIRECTION)) for way in ("in", "out")]
        if driver in _PLAIN_AUDIO or driver not in _AUDIO_DRIVERS.split():
            read_members((*_AUDIO, *directions, *more), values, KEYVAL)
            return
        known = {key: value for key, value in values.items() if key in ("id", "driver")}
        read_members(_AUDIO, known, KEYVAL)
    raise QemuError(f"{option.text}: not simulated yet")


def _check_local_folder(options: dict[str, str]) -> None:
    model = options.get("security_model")
    if model is None:
        raise QemuError(
            "security_model property not set\n"
            f"Valid options are: security_model=[{'|'.join(_SECURITY_MODELS)}]"
        )
    if model not in _SECURITY_MODELS:
        raise QemuError(
            f"invalid security_model property '{model}'\n"
            f"Valid options are: security_model=[{'|'.join(_SECURITY_MODELS)}]"
        )
    if not options.get("path"):
        raise QemuError("path property not set")


def _take_screen(option: Option) -> None:
    """Only that there is to be none."""
    if option.value != "none":
        raise QemuError(f"{option.text}: not simulated yet")


def _take_filter(option: Option) -> None:
    """Ranges of addresses: ``FIRST+SIZE``, ``LAST-SIZE``, ``FIRST..LAST``."""
    from hmp.command_line.option_groups import read_number

    for text in option.value.split(","):
        if not text:
            continue
        way = next((way for way in ("..", "+", "-") if way in text[1:]), None)
        if way is None:
            raise about(option, QemuError("Bad range specifier"))
        left, _, right = text.partition(way)
        bounds = []
        for side, name in ((left, "left"), (right, "right")):
            number = read_number(side)
            if number is None:
                raise about(option, QemuError(f"Invalid number to the {name} of {way}"))
            bounds.append(number)
        first, second = bounds
        if (second < first) if way == ".." else not second:
            raise about(option, QemuError("Invalid range"))
