"""An outgoing migration: a job in slices of the main loop, beside the guest and the monitors.

    setup    a channel comes about
    active   the live sections go out in parts, round and round, while the guest runs
    device   little enough is left: the machine stands still, the rest goes out

and then completed; or at any moment failed or cancelled, and the machine goes on as before.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.loop import Wakeup
from machine.migration import status as status_module
from machine.migration.capabilities import NOT_SIMULATED, Capabilities
from machine.migration.parameters import Parameters
from machine.migration.qemufile import QEMUFileWriter
from machine.migration.rate_limit import RateLimit
from machine.migration.status import (
    ACTIVE,
    CANCELLED,
    CANCELLING,
    COMPLETED,
    DEVICE,
    FAILED,
    NONE,
    PRE_SWITCHOVER,
    SETUP,
    MigrationStatus,
)
from machine.migration.stream import StateSaver
from machine.migration.timing import Timing
from machine.migration.transport import UnknownProtocol, outgoing
from machine.runstate import TRANSITIONS, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.loop import Task
    from machine.machine import Machine
    from machine.migration.channel import Channel
    from machine.migration.statistics import RamStatistics
    from machine.migration.transport import Opening, TakeDescriptor


class GaveUp(Exception):
    """The migration was cancelled."""


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
        self._task: Task | None = None
        self._rate_limit: RateLimit | None = None
        self._may_switch_over = False
        self._was_running = False
        self._finished: list[Callable[[], object]] = []

    @property
    def statistics(self) -> RamStatistics:
        """What of the memory was sent."""
        return self._machine.saved_state.ram.statistics

    @property
    def pending(self) -> int:
        """Bytes of memory that are known to be unsent."""
        return self._machine.saved_state.ram.save_pending()

    # --- what commands do

    def start(
        self,
        uri: str,
        take_descriptor: TakeDescriptor,
        *,
        block: bool = False,
        incremental: bool = False,
        resume: bool = False,
    ) -> None:
        """Begin to migrate; the job goes on by itself.

        Args:
            uri: where to.
            take_descriptor: gives the descriptors that the user named.
            block: with the disks' content; `incremental` without what backing files have.
            resume: go on with one that was paused.

        Raises:
            QemuError: it can't begin.
        """
        self._check_start(block=block or incremental, resume=resume)
        self.begin()
        try:
            opening = outgoing(uri, self._machine.loop, take_descriptor)
        except UnknownProtocol as error:
            self._set_status(FAILED)
            raise QemuError("Parameter 'uri' expects a valid migration protocol") from error
        except QemuError as error:
            self.fail(str(error))
            raise
        if creds := self.parameters.tls_creds:
            opening = self._without_credentials(opening, creds)
        self._task = self._machine.loop.spawn(self._run(opening), self._tell_finished)

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
            raise QemuError("Migration of the disks' content is not simulated")
        for name in NOT_SIMULATED:
            if self.capabilities[name]:
                raise QemuError(f"Migration with the capability '{name}' is not simulated")
        self._check_runstate()

    def _check_runstate(self) -> None:
        runstate = self._machine.runstate
        if RunState.FINISH_MIGRATE not in TRANSITIONS[runstate]:
            # QEMU ends itself here, over an invalid transition.
            raise QemuError(f"Can't migrate the vm in run state '{runstate.name}'")

    def cancel(self) -> None:
        """Give up what is under way; harmless when nothing is."""
        if self.status.is_under_way and self.status is not CANCELLING:
            self._set_status(CANCELLING)
            if self._task is not None:
                self._task.wake()

    def go_on(self, state: str) -> None:
        """Go on from a pause of the status that the user takes it for.

        Raises:
            QemuError: it isn't in that state.
        """
        if state not in status_module.NAMES:
            raise QemuError(f"invalid parameter value: {state}")
        if state != self.status.name:
            raise QemuError(f"Migration not in expected state: {self.status.name}")
        self._may_switch_over = True
        if self._task is not None:
            self._task.wake()

    def set_capability(self, name: str, is_on: bool) -> None:
        """Raises: QemuError."""
        if self.status.is_under_way:
            raise QemuError("There's a migration process in progress")
        self.capabilities.set(
            name, is_on, is_compressed_or_encrypted=self.parameters.is_compressed_or_encrypted
        )

    def set_parameter(self, name: str, value: int | bool | str) -> None:
        """Raises: QemuError."""
        self.parameters.set(name, value, zero_copy=self.capabilities["zero-copy-send"])
        if name == "max-bandwidth" and self._rate_limit is not None:
            self._rate_limit.bytes_per_second = self.parameters.number(name)

    def start_postcopy(self) -> None:
        """Raises: QemuError."""
        if not self.capabilities["postcopy-ram"]:
            raise QemuError(
                "Enable postcopy with migrate_set_capability before the start of migration"
            )
        if self.status is NONE:
            raise QemuError("Postcopy must be started after migration has been started")
        if self.status.is_under_way:
            raise QemuError("Postcopy is not simulated; the migration goes on as it is")

    def when_finished(self, callback: Callable[[], object]) -> None:
        """Call once when the migration that is under way is over; at once if none is."""
        if self._task is None:
            callback()
        else:
            self._finished.append(callback)

    # --- what savevm does too

    def begin(self) -> None:
        """Count anew."""
        self._set_status(SETUP)
        self.error = ""
        self._may_switch_over = False
        self._was_running = False
        self.timing = Timing()
        self.timing.expected_downtime_ms = self.parameters.number("downtime-limit")

    def complete(self) -> None:
        self.timing.stop(self.statistics)
        self._set_status(COMPLETED)

    def fail(self, reason: str) -> None:
        self.error = reason
        self._set_status(FAILED)

    # --- the job

    def _set_status(self, wanted: MigrationStatus) -> None:
        self.status = status_module.follow(self.status, wanted)

    def _tell_finished(self) -> None:
        self._task = None
        finished, self._finished = self._finished, []
        for callback in finished:
            callback()

    def _complain(self, text: str) -> None:
        """Say something that is no command's answer."""
        self._machine.complain(f"{self._machine.program}: {text}")

    def _run(self, opening: Opening) -> Iterator[object]:
        channel: Channel | None = None
        try:
            channel = yield from self._opened(opening)
            yield from self._send(channel)
            channel.close()
            self._conclude()
        except (GaveUp, QemuError) as failure:
            if channel is not None:
                channel.close()
            self._give_up(failure)
        if channel is None:
            return
        if self.status is COMPLETED:
            yield from channel.ended(self._machine.loop)
        else:
            # Who cancelled doesn't wait for a command that is stuck.
            self._machine.loop.spawn(channel.ended(self._machine.loop))

    def _without_credentials(self, opening: Opening, creds: str) -> Opening:
        """TLS isn't simulated, so there are no credentials; it is noticed after connecting."""
        channel = yield from opening
        channel.close()
        raise QemuError(f"No TLS credentials with id '{creds}'")

    def _opened(self, opening: Opening) -> Opening:
        """What `opening` returns, unless it is given up."""
        try:
            while self.status is not CANCELLING:
                try:
                    wakeup = next(opening)
                except StopIteration as end:
                    channel: Channel = end.value
                    return channel
                yield wakeup
        finally:
            opening.close()
        raise GaveUp

    def _send(self, channel: Channel) -> Iterator[object]:
        blockers = self._machine.saved_state.registry.blockers
        self._rate_limit = RateLimit(self.parameters.number("max-bandwidth"))
        file = QEMUFileWriter(channel, self._rate_limit)
        saver = self._saver(file)
        blockers.in_progress = True
        try:
            saver.begin()
            self.timing.end_setup()
            self._set_status(ACTIVE)
            yield from self._send_live(channel, file, saver)
            yield from self._switch_over(channel, file, saver)
        finally:
            saver.cleanup()
            self._rate_limit = None
            blockers.in_progress = False

    def _send_live(
        self, channel: Channel, file: QEMUFileWriter, saver: StateSaver
    ) -> Iterator[object]:
        """Go on until what is left can go out within the downtime that is allowed."""
        threshold = 0
        while True:
            try:
                yield from self._wait_for_room(channel, file)
            except QemuError:
                saver.report_failure()
                raise
            if self.timing.measure(file.transferred, self.statistics):
                downtime_ms = self.parameters.number("downtime-limit")
                threshold = int(self.timing.bytes_per_second * downtime_ms / 1000)
                self.timing.expect(saver.pending(), self.statistics)
            pending = saver.pending()
            if pending < threshold:
                saver.sync()
                pending = saver.pending()
            if not pending or pending < threshold:
                return
            saver.iterate()
            yield None

    def _switch_over(
        self, channel: Channel, file: QEMUFileWriter, saver: StateSaver
    ) -> Iterator[object]:
        """Stop the machine, and send the rest."""
        machine = self._machine
        self._check_runstate()
        self.timing.begin_downtime()
        self._was_running = machine.is_running
        machine.saved_state.global_state.store(machine.runstate)
        machine.set_runstate(RunState.FINISH_MIGRATE)
        if self.capabilities["pause-before-switchover"]:
            self._may_switch_over = False
            self._set_status(PRE_SWITCHOVER)
            while not self._may_switch_over:
                yield Wakeup()
                self._check_wanted(file)
            self._set_status(DEVICE)
        machine.settle()
        machine.graph.inactivate()
        file.rate_limit.bytes_per_second = 0
        for _ in saver.complete():
            yield from self._wait_for_room(channel, file)
            yield None
        while file.has_pending:
            file.put_notify()
            yield from self._wait_for_room(channel, file)
        self._check_wanted(file)

    def _wait_for_room(self, channel: Channel, file: QEMUFileWriter) -> Iterator[Wakeup]:
        """Until more may be put.

        Raises:
            QemuError: the channel failed.
            GaveUp: it was cancelled meanwhile.
        """
        loop = self._machine.loop
        while True:
            self._check_wanted(file)
            if file.is_blocked:
                yield from loop.writable(channel.output_fd)
                file.put_notify()
            elif file.rate_limit.is_reached:
                yield from loop.moment(file.rate_limit.next_window_ns)
            else:
                return

    def _check_wanted(self, file: QEMUFileWriter) -> None:
        if self.status is CANCELLING:
            raise GaveUp
        if file.error:
            raise QemuError(file.error_reason, file.error)

    def _conclude(self) -> None:
        if self._machine.runstate is RunState.FINISH_MIGRATE:
            self._machine.set_runstate(RunState.POSTMIGRATE)
        self.complete()

    def _give_up(self, failure: Exception) -> None:
        """The machine goes on as if nothing had been."""
        machine = self._machine
        if self.status is CANCELLING:
            self._set_status(CANCELLED)
        else:
            self.fail(str(failure))
            self._complain(self.error)
        if machine.runstate is not RunState.FINISH_MIGRATE:
            return
        machine.set_runstate(RunState.POSTMIGRATE)
        try:
            machine.graph.activate()
            if self._was_running:
                machine.cont()
        except QemuError as error:  # somebody else took a disk meanwhile
            self._complain(str(error))

    def _saver(self, file: QEMUFileWriter) -> StateSaver:
        saved = self._machine.saved_state
        return StateSaver(
            saved.registry,
            file,
            machine_name=self._machine.board.name,
            switches=saved.switches,
            report=self._complain,
        )
