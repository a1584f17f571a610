"""Trace events: moments that are written to the log, each under QEMU's name for it.

There are those of QEMU's events at which the same happens here; their text is QEMU's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# In the order in which QEMU 7.2 lists them for `-trace help`.
EVENTS = tuple(
    "job_state_transition job_apply_verb job_completed handle_hmp_command "
    "qemu_loadvm_state_section qemu_loadvm_state_section_partend qemu_loadvm_state_post_main "
    "qemu_loadvm_state_section_startfull loadvm_state_setup loadvm_state_cleanup "
    "savevm_section_start savevm_section_end "
    "savevm_state_setup savevm_state_header savevm_state_iterate savevm_state_cleanup "
    "savevm_state_complete_precopy vmstate_save vmstate_load "
    "migrate_set_state vm_state_notify runstate_set".split()
)


class Trace:
    """Which events are wanted, and where they go.

    Args:
        write: takes the text of an event that is wanted, a line.

    Attributes:
        wanted: the names of those.
    """

    __slots__ = ("_write", "wanted")

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self.wanted: set[str] = set()

    def __call__(self, name: str, text: str = "") -> None:
        """It happened; the text is what QEMU shows of it."""
        if name in self.wanted:
            self._write(f"{name} {text}\n")

    def set(self, pattern: str, is_wanted: bool) -> bool:
        """Want the events that a pattern names, or don't; False for a name that none has."""
        names = set(matching(pattern))
        if is_wanted:
            self.wanted |= names
        else:
            self.wanted -= names
        return bool(names) or is_pattern(pattern)

    def choose(self, text: str) -> bool:
        """``NAME``, ``PATTERN*`` or, for none of them, one with a dash; as in `set`."""
        if text.startswith("-"):
            return self.set(text[1:], False)
        return self.set(text, True)


def is_pattern(text: str) -> bool:
    return "*" in text


def matching(pattern: str) -> Iterator[str]:
    """The events that a pattern names: ``*`` stands for anything, nothing else is special."""
    if not is_pattern(pattern):
        yield from (name for name in EVENTS if name == pattern)
        return
    from fnmatch import fnmatchcase

    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    yield from (name for name in EVENTS if fnmatchcase(name, escaped))
