"""How far a migration is, and which changes of that exist."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class MigrationStatus:
    """QEMU's MigrationStatus.  One object for each, compared with ``is``."""

    __slots__ = ("name",)

    NONE: ClassVar[MigrationStatus]
    SETUP: ClassVar[MigrationStatus]
    CANCELLING: ClassVar[MigrationStatus]
    CANCELLED: ClassVar[MigrationStatus]
    ACTIVE: ClassVar[MigrationStatus]
    COMPLETED: ClassVar[MigrationStatus]
    FAILED: ClassVar[MigrationStatus]
    PRE_SWITCHOVER: ClassVar[MigrationStatus]
    DEVICE: ClassVar[MigrationStatus]

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<MigrationStatus {self.name}>"

    @property
    def is_under_way(self) -> bool:
        """Whether another one can't be started now."""
        return self in UNDER_WAY


NONE = MigrationStatus.NONE = MigrationStatus("none")
SETUP = MigrationStatus.SETUP = MigrationStatus("setup")
CANCELLING = MigrationStatus.CANCELLING = MigrationStatus("cancelling")
CANCELLED = MigrationStatus.CANCELLED = MigrationStatus("cancelled")
ACTIVE = MigrationStatus.ACTIVE = MigrationStatus("active")
COMPLETED = MigrationStatus.COMPLETED = MigrationStatus("completed")
FAILED = MigrationStatus.FAILED = MigrationStatus("failed")
PRE_SWITCHOVER = MigrationStatus.PRE_SWITCHOVER = MigrationStatus("pre-switchover")
DEVICE = MigrationStatus.DEVICE = MigrationStatus("device")

# Commands take these words too, for states that nothing here gets into.
_FOREIGN = ("postcopy-active", "postcopy-paused", "postcopy-recover", "colo", "wait-unplug")

UNDER_WAY = frozenset({SETUP, ACTIVE, PRE_SWITCHOVER, DEVICE, CANCELLING})

TRANSITIONS: dict[MigrationStatus, frozenset[MigrationStatus]] = {
    # An incoming one goes from none to active; a stream that can't be taken fails.
    NONE: frozenset({SETUP, ACTIVE}),
    # savevm is complete as soon as it is set up: nobody can look between.
    SETUP: frozenset({ACTIVE, COMPLETED, FAILED, CANCELLING}),
    ACTIVE: frozenset({PRE_SWITCHOVER, DEVICE, COMPLETED, FAILED, CANCELLING}),
    PRE_SWITCHOVER: frozenset({DEVICE, FAILED, CANCELLING}),
    DEVICE: frozenset({COMPLETED, FAILED, CANCELLING}),
    CANCELLING: frozenset({CANCELLED}),
    CANCELLED: frozenset({SETUP}),
    COMPLETED: frozenset({SETUP}),
    FAILED: frozenset({SETUP}),
}

NAMES = frozenset({status.name for status in TRANSITIONS} | set(_FOREIGN))


def follow(current: MigrationStatus, wanted: MigrationStatus) -> MigrationStatus:
    """The one place where the status changes; an undeclared change is our own bug."""
    assert wanted in TRANSITIONS[current], f"{current.name} -> {wanted.name}"
    return wanted
