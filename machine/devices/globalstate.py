"""What the machine was doing when it was saved: the ``globalstate`` section."""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.runstate import BY_NAME, RunState
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Buffer, UInt32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.vmstate.description import Record, Report

NAME_SIZE = 100  # bytes, the end marked by a zero


class GlobalState:
    """The run state that a stream carries along.

    Only an incoming migration goes by it; loadvm merely checks that it is one.

    Attributes:
        always_stored: QEMU's ``store-global-state``; if off, only unusual states are stored.
        size: of the name and its zero, bytes.
        runstate: the name, filled up with zeros.
        received: a stream had this section.
    """

    __slots__ = ("always_stored", "received", "runstate", "size")

    def __init__(self, *, always_stored: bool = True) -> None:
        self.always_stored = always_stored
        self.size = 0
        self.runstate = bytes(NAME_SIZE)
        self.received = False

    def store(self, state: RunState) -> None:
        """Keep for saving what the machine does; to be called before it is stopped for that."""
        self.runstate = state.name.encode().ljust(NAME_SIZE, b"\0")

    @property
    def name(self) -> str:
        return _name(self.runstate)

    @property
    def state(self) -> RunState:
        """The run state stored or received."""
        return BY_NAME[self.name]


def _name(buffer: bytes) -> str:
    # The last byte counts as a zero even if it is none.
    return buffer[: NAME_SIZE - 1].partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _is_needed(state: GlobalState) -> bool:
    return state.always_stored or state.name not in ("running", "paused")


def _measure(state: GlobalState) -> None:
    state.size = len(state.name.encode()) + 1


def _check(state: GlobalState, record: Record, report: Report) -> None:
    name = _name(record.values["runstate"])
    if name not in BY_NAME:
        report(f"invalid parameter value: {name}")
        raise StreamError(errno.EINVAL)


def _receive(state: GlobalState, version_id: int) -> None:
    state.received = True


GLOBALSTATE = VMStateDescription(
    name="globalstate",
    fields=(UInt32("size"), Buffer("runstate", NAME_SIZE)),
    needed=_is_needed,
    pre_save=_measure,
    check=_check,
    post_load=_receive,
)
