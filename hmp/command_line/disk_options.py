"""The disks of the command line: ``-drive``, ``-blockdev``, and short forms for an image."""

from __future__ import annotations

from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import Blame
from hmp.command_line.options import Option
from machine.drive_options import NO_NODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine

# Interface, index and medium of the option's drive; without an index it is the next one's.
_SHORT_DRIVES: dict[str, tuple[str, int | None, str]] = {
    "": ("ide", 0, "disk"),
    "hda": ("ide", 0, "disk"),
    "hdb": ("ide", 1, "disk"),
    "hdc": ("ide", 2, "disk"),
    "hdd": ("ide", 3, "disk"),
    "cdrom": ("ide", 2, "cdrom"),
    "fda": ("floppy", 0, "disk"),
    "fdb": ("floppy", 1, "disk"),
    "pflash": ("pflash", None, "disk"),
    "mtdblock": ("mtd", None, "disk"),
    "sd": ("sd", None, "disk"),
}


class DiskOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._is_temporary = False
        self._nodes: list[tuple[dict[str, str], str]] = []
        self._drives: list[tuple[dict[str, str], str]] = []
        self.takers: dict[str, Callable[[Option], None]] = {
            "drive": self._take_drive,
            "blockdev": self._take_node,
            "snapshot": self._take_snapshot,
            **dict.fromkeys(_SHORT_DRIVES, self._take_short_drive),
        }

    def _take_snapshot(self, option: Option) -> None:
        self._is_temporary = True

    def _take_drive(self, option: Option) -> None:
        self._drives.append((self._read(option), option.text))

    def _take_short_drive(self, option: Option) -> None:
        interface, index, media = _SHORT_DRIVES[option.name]
        options = {"if": interface, "media": media, "file": option.value}
        if index is not None:
            options["index"] = str(index)
        # These ask for the board's usual interface, whatever that is.
        if interface == "ide":
            del options["if"]
        self._drives.append((options, option.text))

    def _take_node(self, option: Option) -> None:
        if option.value.startswith("{"):
            options = _node_of_json(option)
        else:
            options = self._read(option, "driver")
        if options.get("backing") == "":
            self._warn(
                f'{option.text}: warning: Use of "backing": "" is deprecated; '
                'use "backing": null instead'
            )
            options["backing"] = NO_NODE
        self._nodes.append((options, option.text))

    def open(self, machine: Machine) -> None:
        """Nodes first, then drives.

        Raises:
            QemuError: one can't be opened.
        """
        for options, text in self._nodes:
            with Blame(text):
                machine.drives.add_node(options)
        for options, text in self._drives:
            with Blame(text):
                machine.drives.add(options, text=text, snapshot=self._is_temporary)


def _node_of_json(option: Option) -> dict[str, str]:
    """The flat options of a node that is given as the arguments of `blockdev-add`."""
    from hmp.qmp.json_parser import parse_text
    from hmp.qmp.schema import schema
    from machine.drive_options import flattened

    with Blame(option.text):
        arguments = schema().entry("blockdev-add").arguments
        return flattened(arguments.read_members(parse_text(option.value)))
