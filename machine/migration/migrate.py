"""What leaves a machine: the settings, how far it is, and what the monitor's commands do to it."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.migration import status as status_module
from machine.migration.capabilities import NOT_SIMULATED, Capabilities
from machine.migration.parameters import Parameters
from machine.migration.status import (
    CANCELLING,
    COMPLETED,
    FAILED,
    NONE,
    SETUP,
    MigrationStatus,
)
from machine.migration.timing import Timing
from machine.runstate import TRANSITIONS, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.machine import Machine
    from machine.migration.announce import AnnounceParameters
    from machine.migration.outgoing import OutgoingJob
    from machine.migration.statistics import RamStatistics
    from machine.migration.transport import TakeDescriptor
    from machine.vmstate.registry import Progress


class Migration:
    """What leaves a machine, one at a time; and the settings for both directions.

    Attributes:
        capabilities, parameters: the settings.
        status: of the last or present migration; savevm counts as one.
        error: why it failed, in words; "" where there are none.
        timing: when what was done, and how fast.
        clear_bitmap_shift: shown only; the log of dirty pages here is cleared as a whole.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.capabilities = Capabilities()
        self.parameters = Parameters()
        self.status = NONE
        self.error = ""
        self.timing = Timing()
        self.clear_bitmap_shift = 18
        self._job: OutgoingJob | None = None
        self._takes_disks_once = False

    @property
    def statistics(self) -> RamStatistics:
        """What of the memory was sent."""
        return self._machine.saved_state.ram.statistics

    @property
    def pending(self) -> int:
        """Bytes of memory that are known to be unsent."""
        return self._machine.saved_state.ram.save_pending()

    @property
    def compression(self) -> int | None:
        """How hard pages are compressed; None if they aren't."""
        if not self.capabilities["compress"]:
            return None
        return self.parameters.number("compress-level")

    @property
    def disk_progress(self) -> Progress:
        """Bytes of the disks that were sent and that are to be; none unless they go along now."""
        return self._machine.saved_state.block.progress()

    @property
    def announce_parameters(self) -> AnnounceParameters:
        """How a machine that has arrived, or is told to, makes itself known."""
        from machine.migration.announce import AnnounceParameters

        return AnnounceParameters(
            initial=self.parameters.number("announce-initial"),
            max=self.parameters.number("announce-max"),
            rounds=self.parameters.number("announce-rounds"),
            step=self.parameters.number("announce-step"),
        )

    # --- what commands do

    def start(
        self,
        uri: str,
        take_descriptor: TakeDescriptor,
        *,
        block: bool = False,
        incremental: bool = False,
        resume: bool = False,
    ) -> OutgoingJob | None:
        """Begin to migrate; the job goes on by itself.

        Args:
            uri: where to.
            take_descriptor: gives the descriptors that the user named.
            block: with the disks' content; `incremental` without what backing files have.
            resume: go on with one that was paused.

        Returns:
            The job; None for one that failed at once, after a report.

        Raises:
            QemuError: it can't begin.
        """
        from machine.migration.outgoing import OutgoingJob
        from machine.migration.transport import PROTOCOLS, UnknownProtocol, outgoing

        self._check_start(block=block or incremental, resume=resume)
        if block or incremental:
            self._take_disks_once(incremental=incremental)
        self.begin()
        if uri.startswith(PROTOCOLS) and self._refuse_channel(uri):
            return None
        try:
            opening = outgoing(uri, self._machine.loop, take_descriptor)
        except UnknownProtocol as error:
            self.follow(FAILED)
            raise QemuError("Parameter 'uri' expects a valid migration protocol") from error
        except QemuError as error:
            self.fail(str(error))
            raise
        try:
            self.check_runstate()
        except QemuError as error:
            self.fail(str(error))
            raise
        self._job = OutgoingJob(self._machine, self, opening)
        return self._job

    def _take_disks_once(self, *, incremental: bool) -> None:
        """Let the disks go along this time, which the settings show as long as it lasts."""
        self.set_capability("block", True)
        self.parameters.is_block_incremental = incremental
        self._takes_disks_once = True

    def _refuse_channel(self, uri: str) -> bool:
        """Whether a channel won't do, which is reported then."""
        from machine.migration.transport import ONE_CHANNEL

        if self.capabilities["multifd"]:
            # In QEMU sockets could; here there is one channel, whatever it is.
            self._machine.report("multifd is not supported by current protocol")
            self.fail("")
        elif uri.startswith(ONE_CHANNEL) and (creds := self.parameters.tls_creds):
            # TLS isn't simulated, so there are none.
            self.fail(f"No TLS credentials with id '{creds}'")
            self._machine.report(self.error)
        else:
            return False
        return True

    def _check_start(self, *, block: bool, resume: bool) -> None:
        if resume:
            raise QemuError("Cannot resume if there is no paused migration")
        if self.status.is_under_way:
            raise QemuError("There's a migration process in progress")
        runstate = self._machine.runstate
        if runstate is RunState.INMIGRATE:
            raise QemuError("Guest is waiting for an incoming migration")
        if runstate is RunState.POSTMIGRATE:
            raise QemuError("Can't migrate the vm that was paused due to previous migration")
        self._machine.saved_state.registry.check_migratable()
        if block:
            if self.capabilities["x-colo"]:
                raise QemuError("No disk migration is required in COLO mode")
            if self.capabilities["block"] or self.parameters.is_block_incremental:
                raise QemuError(
                    "Command options are incompatible with current migration capabilities"
                )
        for name in NOT_SIMULATED:
            if self.capabilities[name]:
                raise QemuError(f"Migration with the capability '{name}' is not simulated")

    def check_runstate(self) -> None:
        """See that the machine may be stopped for a migration.

        Raises:
            QemuError: it is in a state that only something else leaves.
        """
        runstate = self._machine.runstate
        if RunState.FINISH_MIGRATE not in TRANSITIONS[runstate]:
            # QEMU ends itself here, over an invalid transition.
            raise QemuError(f"Can't migrate the vm in run state '{runstate.name}'")

    def cancel(self) -> None:
        """Give up what is under way; harmless when nothing is."""
        if self._job is not None and self.status.is_under_way and self.status is not CANCELLING:
            self.follow(CANCELLING)
            self._job.wake()

    def yank(self) -> None:
        """Break the connection that what is under way goes over."""
        if self._job is not None:
            self._job.yank()

    def go_on(self, state: str) -> None:
        """Go on from a pause of the status that the user takes it for.

        Raises:
            QemuError: it isn't in that state.
        """
        if state not in status_module.NAMES:
            raise QemuError(f"invalid parameter value: {state}")
        if state != self.status.name:
            raise QemuError(f"Migration not in expected state: {self.status.name}")
        if self._job is not None:
            self._job.may_switch_over = True
            self._job.wake()

    def recover(self) -> None:
        """Go on with a postcopy that was paused: nothing here gets there.

        Raises:
            QemuError: always.
        """
        raise QemuError("Migrate recover can only be run when postcopy is paused.")

    def pause(self) -> None:
        """Pause a postcopy; see `recover`.

        Raises:
            QemuError: always.
        """
        raise QemuError("migrate-pause is currently only supported during postcopy-active state")

    def set_capability(self, name: str, is_on: bool) -> None:
        """Raises: QemuError."""
        self.set_capabilities({name: is_on})

    def set_capabilities(self, wanted: Mapping[str, bool]) -> None:
        """Raises: QemuError."""
        if self.status.is_under_way:
            raise QemuError("There's a migration process in progress")
        if (
            wanted.get("postcopy-ram", False) > self.capabilities["postcopy-ram"]
            and self._machine.runstate is RunState.INMIGRATE
        ):
            # What QEMU says on a host that can't tell when memory is missed.
            reason = os.strerror(errno.ENOSYS)
            self._machine.report(
                f"postcopy_ram_supported_by_host: userfaultfd not available: {reason}"
            )
            raise QemuError("Postcopy is not supported")
        self.capabilities.set_all(
            wanted, is_compressed_or_encrypted=self.parameters.is_compressed_or_encrypted
        )

    def set_parameter(self, name: str, value: int | bool | str) -> None:
        """Raises: QemuError."""
        self.set_parameters({name: value})

    def set_parameters(self, values: Mapping[str, int | bool | str]) -> None:
        """Raises: QemuError."""
        self.parameters.set_all(values, zero_copy=self.capabilities["zero-copy-send"])
        if "max-bandwidth" in values and self._job is not None:
            self._job.set_bandwidth(self.parameters.number("max-bandwidth"))

    def start_postcopy(self) -> None:
        """Raises: QemuError."""
        if not self.capabilities["postcopy-ram"]:
            raise QemuError(
                "Enable postcopy with migrate_set_capability before the start of migration"
            )
        if self.status is NONE:
            raise QemuError("Postcopy must be started after migration has been started")
        if self.status.is_under_way:
            raise QemuError("Postcopy is not supported")

    # --- what the job does, and savevm too

    def follow(self, wanted: MigrationStatus) -> None:
        self.status = status_module.follow(self.status, wanted)
        self._machine.trace("migrate_set_state", f"new state {wanted.name}")
        if self._takes_disks_once and not wanted.is_under_way:
            self._takes_disks_once = False
            self.set_capability("block", False)
            self.parameters.is_block_incremental = False
        self._machine.events.emit("MIGRATION", status=self.status.name)

    def begin(self) -> None:
        """Count anew."""
        self.follow(SETUP)
        self.error = ""
        self.timing = Timing()
        self.timing.expected_downtime_ms = self.parameters.number("downtime-limit")

    def complete(self) -> None:
        self.timing.stop(self.statistics)
        self.follow(COMPLETED)

    def fail(self, reason: str) -> None:
        self.error = reason
        self.follow(FAILED)
