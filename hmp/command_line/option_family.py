"""What the families of options have in common: how they are read, and where warnings go."""

from __future__ import annotations

from hmp.command_line.option_values import read_list
from hmp.command_line.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class OptionFamily:
    """The options of one command line that belong together, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        self._program = program
        self._complain = complain

    def _warn(self, text: str) -> None:
        """Say something that a program of this name says."""
        self._complain(f"{self._program}: {text}")

    def _read(self, option: Option, implied_key: str = "") -> dict[str, str]:
        """The values of an option that is a list of any keys; see `read_list`."""
        return read_list(option, implied_key, self._warn)

    def _read_group(self, option: Option, group: str = "") -> dict[str, str]:
        """The values of an option whose keys QEMU knows; see `OptionGroup.read`.

        Args:
            group: its name, where that isn't the option's.
        """
        from hmp.command_line.option_groups import option_groups

        return option_groups()[group or option.name].read(option, self._warn)
