"""An outgoing migration: a job in slices of the main loop, beside the guest and the monitors.

    setup    a channel comes about
    active   the live sections go out in parts, round and round, while the guest runs
    device   little enough is left: the machine stands still, the rest goes out

and then completed; or at any moment failed or cancelled, and the machine goes on as before.
"""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.loop import Wakeup
from machine.migration.qemufile import QEMUFileWriter
from machine.migration.rate_limit import RateLimit
from machine.migration.return_path import ReturnPathError, wait_for_shut
from machine.migration.saver import StateSaver
from machine.migration.status import (
    ACTIVE,
    CANCELLED,
    CANCELLING,
    COMPLETED,
    DEVICE,
    PRE_SWITCHOVER,
)
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.machine import Machine
    from machine.migration.channel import Channel
    from machine.migration.migrate import Migration
    from machine.migration.transport import Opening


class GaveUp(Exception):
    """The migration was cancelled."""


class OutgoingJob:
    """Takes a machine's state out through a channel; it runs by itself from now on.

    Args:
        machine: whose state.
        migration: what is told how far it is, and tells the settings.
        opening: gives the channel.

    Attributes:
        may_switch_over: a pause before that is over.
        is_finished: it is over, one way or the other.
    """

    def __init__(self, machine: Machine, migration: Migration, opening: Opening) -> None:
        self.may_switch_over = False
        self._machine = machine
        self._migration = migration
        self._rate_limit = RateLimit(migration.parameters.number("max-bandwidth"))
        self._was_running = False
        self._channel: Channel | None = None
        self.is_finished = False
        self._when_finished: list[Callable[[], object]] = []
        self._task = machine.loop.spawn(self._run(opening), self._finish)

    def wake(self) -> None:
        """Something was decided that it may be waiting for."""
        self._task.wake()

    def yank(self) -> None:
        """Break the connection it goes over, if there is one."""
        if self._channel is not None:
            self._channel.yank()

    def set_bandwidth(self, bytes_per_second: int) -> None:
        """How much may leave while the machine runs; 0 for any amount."""
        self._rate_limit.bytes_per_second = bytes_per_second

    def finished_or(self, deadline_ns: int) -> Iterator[Wakeup]:
        """Until it is over, and with it the command that took the state; or until a moment."""
        wakeup = Wakeup()
        timer = self._machine.loop.call_at(deadline_ns, wakeup.wake)
        self._when_finished.append(wakeup.wake)
        try:
            if not self.is_finished:
                yield wakeup
        finally:
            self._when_finished.remove(wakeup.wake)
            timer.cancel()

    def _finish(self) -> None:
        self.is_finished = True
        for callback in tuple(self._when_finished):
            callback()

    def _complain(self, text: str) -> None:
        """Say something that is no command's answer."""
        self._machine.complain(f"{self._machine.program}: {text}")

    def _run(self, opening: Opening) -> Iterator[object]:
        channel: Channel | None = None
        try:
            channel = self._channel = yield from self._opened(opening)
            yield from self._send(channel)
            channel.close()
            self._conclude()
        except Exception as failure:
            if not isinstance(failure, GaveUp | QemuError):  # a mistake of our own
                self._machine.log_exception()
            if channel is not None:
                channel.close()
            self._give_up(failure)
        if channel is None:
            return
        if self._migration.status is COMPLETED:
            yield from channel.ended(self._machine.loop)
        else:
            # Who cancelled doesn't wait for a command that is stuck.
            self._machine.loop.spawn(channel.ended(self._machine.loop))

    def _opened(self, opening: Opening) -> Opening:
        """What `opening` returns.

        Raises:
            GaveUp: it was cancelled meanwhile.
        """
        try:
            while True:
                try:
                    wakeup = next(opening)
                except StopIteration as end:
                    channel: Channel = end.value
                    break
                yield wakeup
                if self._migration.status is CANCELLING:
                    raise GaveUp
        finally:
            opening.close()
        if creds := self._migration.parameters.tls_creds:
            # TLS isn't simulated, so there are none; that shows after connecting.
            channel.close()
            raise QemuError(f"No TLS credentials with id '{creds}'")
        return channel

    def _send(self, channel: Channel) -> Iterator[object]:
        registry = self._machine.saved_state.registry
        blockers = registry.blockers
        registry.set_params(
            block=self._migration.capabilities["block"],
            shared=self._migration.parameters.is_block_incremental,
        )
        file = QEMUFileWriter(channel, self._rate_limit)
        saver = self._saver(file)
        blockers.in_progress = True
        try:
            saver.begin()
            self._migration.timing.end_setup()
            self._migration.follow(ACTIVE)
            yield from self._send_live(channel, file, saver)
            yield from self._switch_over(channel, file, saver)
        finally:
            saver.cleanup()
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
            if self._migration.timing.measure(file.transferred, self._migration.statistics):
                downtime_ms = self._migration.parameters.number("downtime-limit")
                threshold = int(self._migration.timing.bytes_per_second * downtime_ms / 1000)
                self._migration.timing.expect(saver.pending(), self._migration.statistics)
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
        self._migration.check_runstate()
        self._migration.timing.begin_downtime()
        self._was_running = machine.is_running
        machine.saved_state.global_state.store(machine.runstate)
        machine.set_runstate(RunState.FINISH_MIGRATE)
        if self._migration.capabilities["pause-before-switchover"]:
            self.may_switch_over = False
            self._migration.follow(PRE_SWITCHOVER)
            while not self.may_switch_over:
                yield Wakeup()
                self._check_wanted(file)
            self._migration.follow(DEVICE)
        machine.settle()
        machine.graph.inactivate()
        self.set_bandwidth(0)
        for _ in saver.complete():
            yield from self._wait_for_room(channel, file)
            yield None
        while file.has_pending:
            file.put_notify()
            yield from self._wait_for_room(channel, file)
        self._check_wanted(file)
        if self._migration.capabilities["return-path"]:
            yield from self._wait_for_shut(channel, file)

    def _wait_for_shut(self, channel: Channel, file: QEMUFileWriter) -> Iterator[Wakeup]:
        """Until the destination says that it has all."""
        waiting = wait_for_shut(channel, self._machine.loop)
        try:
            for wakeup in waiting:
                yield wakeup
                self._check_wanted(file)
        finally:
            waiting.close()

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
                if self._migration.status is CANCELLING and channel.kind == "socket":
                    # QEMU ends this wait by cutting the connection, and hears of that itself.
                    self._complain(f"Unable to write to socket: {os.strerror(errno.EPIPE)}")
                file.put_notify()
            elif file.rate_limit.is_reached:
                yield from loop.moment(file.rate_limit.next_window_ns)
            else:
                return

    def _check_wanted(self, file: QEMUFileWriter) -> None:
        if self._migration.status is CANCELLING:
            raise GaveUp
        if file.error:
            raise QemuError(file.error_reason, file.error)

    def _conclude(self) -> None:
        if self._machine.runstate is RunState.FINISH_MIGRATE:
            self._machine.set_runstate(RunState.POSTMIGRATE)
        self._migration.complete()

    def _give_up(self, failure: Exception) -> None:
        """The machine goes on as if nothing had been."""
        machine = self._machine
        if self._migration.status is CANCELLING:
            self._migration.follow(CANCELLED)
        else:
            is_remote = isinstance(failure, ReturnPathError)  # that is said, and not kept
            said = str(failure) if is_remote else str(failure) or type(failure).__name__
            self._migration.fail("" if is_remote else said)
            if said:
                self._complain(said)
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
            opens_return_path=self._migration.capabilities["return-path"],
        )
