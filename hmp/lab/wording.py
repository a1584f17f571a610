"""What the steps of savevm, loadvm and delvm are called, before they are done and while they are.

`%explain` and `%trace` use the same sentences, so that they can be compared line by line.
"""

from __future__ import annotations

from hmp.block_info import size_text
from machine.steps import (
    DELETE,
    FIND,
    GO_BACK,
    LOAD_STATE,
    LOOK,
    MAKE,
    REPLACE,
    RESUME,
    STOP,
    WRITE_STATE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.steps import Step

_WIDTH = 79
_FIXED_BLANK = "\0"  # one at which no line may end

_HEADINGS = {
    LOOK: "Look at every disk that can be written: each must be able to keep snapshots.",
    FIND: "Look for the snapshot on every disk that can be written, by its tag.",
    REPLACE: "Delete the snapshots of the same tag; they are gone even if the rest fails.",
    STOP: "Stop the machine, so that memory and disks are of one moment.",
    WRITE_STATE: "Write the machine's state to {disk}, the first disk that can hold it.",
    MAKE: "Make the snapshot on every disk.",
    GO_BACK: "Put every disk back; each takes the name for an ID first, then for a tag.",
    LOAD_STATE: "Load {size} of state from {disk}: memory, devices, and the clock.",
    DELETE: "Delete it where it is. What the disk has now, and other snapshots, stay.",
    RESUME: "Let the machine run again.",
}


def heading(step: Step) -> str:
    """What a step does; the same for those that do it to one disk after the other."""
    disk = step.disk.shown if step.disk else ""
    size = size_text(step.snapshot.vm_state_size) if step.snapshot else ""
    return _HEADINGS[step.kind].format(disk=disk, size=size)


def subject(step: Step) -> str:
    """On which disk, and which snapshot; empty for a step that is of no one disk."""
    if step.disk is None:
        return ""
    if step.snapshot is None:
        return f"{step.disk.shown}: "
    text = f"{step.disk.shown}: ID {step.snapshot.id}"
    if step.kind == REPLACE:
        text += f", {size_text(step.snapshot.vm_state_size)} of state"
    elif step.kind == MAKE:
        text += ", with the state" if step.snapshot.vm_state_size else ", of the disk alone"
    elif step.kind == GO_BACK:
        text += f", tag '{step.snapshot.name}'"
    return f"{text}; "


def wrapped(text: str, *, first: str = "", then: str | None = None) -> list[str]:
    """A text in lines that fit a screen, none broken within a word or a command.

    Args:
        text: what stands between backticks stays in one line.
        first: what begins the first line.
        then: what begins the others; None is as many blanks.
    """
    import textwrap

    pieces = text.split("`")
    pieces[1::2] = [piece.replace(" ", _FIXED_BLANK) for piece in pieces[1::2]]
    lines = textwrap.wrap(
        "`".join(pieces),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if then is None else then,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_FIXED_BLANK, " ") for line in lines] or [first.rstrip()]


def counted(count: int, noun: str) -> str:
    """``1 cluster``, ``2 clusters``."""
    return f"{count} {noun}{'s' * (count != 1)}"


def clock_text(ns: int) -> str:
    """A machine's clock as ``info snapshots`` shows it: ``00:00:01.234``."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest // 1_000_000:03}"
