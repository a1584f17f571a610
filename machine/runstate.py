"""What the virtual machine is doing, and which changes of it exist."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class RunState:
    """QEMU's RunState.  One object for each, compared with ``is``.

    Not an `enum.Enum`: importing that module alone takes a tenth of the start-up.
    """

    __slots__ = ("name", "number")

    DEBUG: ClassVar[RunState]
    INMIGRATE: ClassVar[RunState]
    INTERNAL_ERROR: ClassVar[RunState]
    IO_ERROR: ClassVar[RunState]
    PAUSED: ClassVar[RunState]
    POSTMIGRATE: ClassVar[RunState]
    PRELAUNCH: ClassVar[RunState]
    FINISH_MIGRATE: ClassVar[RunState]
    RESTORE_VM: ClassVar[RunState]
    RUNNING: ClassVar[RunState]
    SAVE_VM: ClassVar[RunState]
    SHUTDOWN: ClassVar[RunState]
    SUSPENDED: ClassVar[RunState]
    WATCHDOG: ClassVar[RunState]
    GUEST_PANICKED: ClassVar[RunState]
    COLO: ClassVar[RunState]

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def __repr__(self) -> str:
        return f"<RunState {self.name}>"

    @property
    def shown(self) -> str:
        """As a trace event has it."""
        return f"{self.number} ({self.name})"

    @property
    def status(self) -> str:
        """What follows ``VM status: ``."""
        if self is RunState.RUNNING or self is RunState.PAUSED:
            return self.name
        return f"paused ({self.name})"


RunState.DEBUG = RunState("debug", 0)
RunState.INMIGRATE = RunState("inmigrate", 1)
RunState.INTERNAL_ERROR = RunState("internal-error", 2)
RunState.IO_ERROR = RunState("io-error", 3)
RunState.PAUSED = RunState("paused", 4)
RunState.POSTMIGRATE = RunState("postmigrate", 5)
RunState.PRELAUNCH = RunState("prelaunch", 6)
RunState.FINISH_MIGRATE = RunState("finish-migrate", 7)
RunState.RESTORE_VM = RunState("restore-vm", 8)
RunState.RUNNING = RunState("running", 9)
RunState.SAVE_VM = RunState("save-vm", 10)
RunState.SHUTDOWN = RunState("shutdown", 11)
RunState.SUSPENDED = RunState("suspended", 12)
RunState.WATCHDOG = RunState("watchdog", 13)
RunState.GUEST_PANICKED = RunState("guest-panicked", 14)
RunState.COLO = RunState("colo", 15)

# QEMU 7.2's rules.  Any state may also be followed by itself.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.DEBUG: frozenset(
        {RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH, RunState.SUSPENDED}
    ),
    RunState.INMIGRATE: frozenset(
        {
            RunState.INTERNAL_ERROR,
            RunState.IO_ERROR,
            RunState.PAUSED,
            RunState.RUNNING,
            RunState.SHUTDOWN,
            RunState.SUSPENDED,
            RunState.WATCHDOG,
            RunState.GUEST_PANICKED,
            RunState.FINISH_MIGRATE,
            RunState.PRELAUNCH,
            RunState.POSTMIGRATE,
            RunState.COLO,
        }
    ),
    RunState.INTERNAL_ERROR: frozenset(
        {RunState.PAUSED, RunState.FINISH_MIGRATE, RunState.PRELAUNCH}
    ),
    RunState.IO_ERROR: frozenset({RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH}),
    RunState.PAUSED: frozenset(
        {
            RunState.RUNNING,
            RunState.FINISH_MIGRATE,
            RunState.POSTMIGRATE,
            RunState.PRELAUNCH,
            RunState.COLO,
        }
    ),
    RunState.POSTMIGRATE: frozenset(
        {RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH}
    ),
    RunState.PRELAUNCH: frozenset({RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.INMIGRATE}),
    RunState.FINISH_MIGRATE: frozenset(
        {
            RunState.RUNNING,
            RunState.PAUSED,
            RunState.POSTMIGRATE,
            RunState.PRELAUNCH,
            RunState.COLO,
        }
    ),
    RunState.RESTORE_VM: frozenset({RunState.RUNNING, RunState.PRELAUNCH}),
    RunState.RUNNING: frozenset(
        {
            RunState.DEBUG,
            RunState.INTERNAL_ERROR,
            RunState.IO_ERROR,
            RunState.PAUSED,
            RunState.FINISH_MIGRATE,
            RunState.RESTORE_VM,
            RunState.SAVE_VM,
            RunState.SHUTDOWN,
            RunState.SUSPENDED,
            RunState.WATCHDOG,
            RunState.GUEST_PANICKED,
            RunState.COLO,
        }
    ),
    RunState.SAVE_VM: frozenset({RunState.RUNNING}),
    RunState.SHUTDOWN: frozenset(
        {RunState.PAUSED, RunState.FINISH_MIGRATE, RunState.PRELAUNCH, RunState.COLO}
    ),
    RunState.SUSPENDED: frozenset(
        {RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH, RunState.COLO}
    ),
    RunState.WATCHDOG: frozenset(
        {RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH, RunState.COLO}
    ),
    RunState.GUEST_PANICKED: frozenset(
        {RunState.RUNNING, RunState.FINISH_MIGRATE, RunState.PRELAUNCH}
    ),
    RunState.COLO: frozenset({RunState.RUNNING, RunState.PRELAUNCH, RunState.SHUTDOWN}),
}

BY_NAME: dict[str, RunState] = {state.name: state for state in TRANSITIONS}


def follow(current: RunState, wanted: RunState) -> RunState:
    """The one place where the run state changes; an undeclared change is our own bug."""
    assert wanted is current or wanted in TRANSITIONS[current], (
        f"invalid runstate transition: '{current.name}' -> '{wanted.name}'"
    )
    return wanted
