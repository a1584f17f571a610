"""An incoming migration: the machine waits for its state, takes it in slices, and goes on."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.migration.announce import announce
from machine.migration.loader import load_state
from machine.migration.qemufile import QEMUFileReader, StreamError
from machine.migration.return_path import ReturnPath
from machine.migration.status import ACTIVE, COMPLETED, FAILED, NONE, MigrationStatus, follow
from machine.migration.transport import IncomingTransport
from machine.runstate import TRANSITIONS, RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine
    from machine.migration.channel import Channel
    from machine.migration.transport import TakeDescriptor

DEFER = "defer"  # instead of an address: it is told later
_ANNOUNCEMENT = "\0"  # an id that no command can give


class Incoming:
    """What comes to a machine, once in its life.

    Attributes:
        status: of it.
        places: the sockets at which it is waited for.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._is_started = False
        self._channel: Channel | None = None
        self.status: MigrationStatus = NONE
        self.places: list[str] = []

    def start(self, uri: str, take_descriptor: TakeDescriptor) -> None:
        """Wait for it at an address; the job goes on by itself.

        Raises:
            QemuError: one is waited for already, none was announced, or it can't be waited for
                there.
        """
        if self._is_started:
            raise QemuError("The incoming migration has already been started")
        if self._machine.runstate is not RunState.INMIGRATE:
            raise QemuError("'-incoming' was not specified on the command line")
        transport = IncomingTransport(uri, self._machine.loop, take_descriptor)
        self._is_started = True
        self.places = transport.places
        self._machine.loop.spawn(self._run(transport))

    @property
    def is_awaited(self) -> bool:
        """Whether it is to come, or is coming."""
        return self._is_started and self.status in (NONE, ACTIVE)

    def yank(self) -> None:
        """Break the connection that it comes over."""
        if self._channel is not None:
            self._channel.yank()

    def _run(self, transport: IncomingTransport) -> Iterator[object]:
        machine = self._machine
        channel = self._channel = yield from transport.opening
        self.status = follow(self.status, ACTIVE)
        saved = machine.saved_state
        return_path = ReturnPath(channel)
        steps = load_state(
            saved.registry,
            QEMUFileReader(channel),
            machine_name=machine.board.name,
            switches=saved.switches,
            report=self._complain,
            return_path=return_path,
        )
        try:
            for step in steps:
                if step is None:
                    yield from machine.loop.readable(channel.input_fd)
                else:
                    yield None
        except Exception as error:
            channel.close()
            self.status = follow(self.status, FAILED)
            reason = "internal error"  # a mistake of our own mustn't look like the stream's
            if isinstance(error, StreamError):
                reason = os.strerror(error.errno_value)
            else:
                machine.log_exception()
            self._complain(f"load of migration failed: {reason}")
            machine.request_shutdown(1)
            return
        return_path.shut()
        channel.close()
        self._go_on()
        yield from channel.ended(machine.loop)

    def _go_on(self) -> None:
        """The state is all there: the machine goes on with what it did where it came from."""
        machine = self._machine
        global_state = machine.saved_state.global_state
        wanted = global_state.state if global_state.received else RunState.RUNNING
        runs = wanted is RunState.RUNNING and machine.autostart
        if runs or not machine.migration.capabilities["late-block-activate"]:
            try:
                machine.graph.activate()
            except QemuError as error:
                self._complain(str(error))
                runs = False
        self.status = follow(self.status, COMPLETED)
        announce(machine, machine.migration.announce_parameters, id=_ANNOUNCEMENT)
        if wanted not in TRANSITIONS[machine.runstate]:
            # No machine migrates out of such a state, and QEMU ends itself over it.
            before = machine.runstate.name
            self._complain(f"invalid runstate transition: '{before}' -> '{wanted.name}'")
            wanted, runs = RunState.PAUSED, False
        if wanted is not RunState.RUNNING:
            machine.set_runstate(wanted)
        elif runs:
            machine.set_runstate(RunState.RUNNING)
        else:
            machine.set_runstate(RunState.PAUSED)

    def _complain(self, text: str) -> None:
        """Say something that is no command's answer."""
        self._machine.complain(f"{self._machine.program}: {text}")
