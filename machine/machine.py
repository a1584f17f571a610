"""The simulated machine: one object for memory, processors, drives, run state and clock."""

from __future__ import annotations

import os
import time

from blockdev.errors import QemuError
from blockdev.graph import Graph
from machine.boards import BOARDS, Board
from machine.clock import VirtualClock
from machine.devices.bus import board_buses
from machine.drives import Drives
from machine.events import Events
from machine.loop import MainLoop
from machine.memory import PAGE_SIZE, Memory
from machine.power import ACTIONS
from machine.rooms import Rooms
from machine.runstate import RunState, follow
from machine.steps import Steps
from machine.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from blockdev.node import BlockNode
    from machine.chardev.device import Chardev
    from machine.cpu.slices import GuestSlices
    from machine.cpu.x86 import X86Cpu
    from machine.devices.isa import IsaDevices
    from machine.devices.loader import Rom, StartAddress
    from machine.devices.microvm import MicrovmDevices
    from machine.faults import Delays
    from machine.gdb.stub import GdbStub
    from machine.head import Head
    from machine.migration.announce import Announcement
    from machine.numa import Numa
    from machine.topology import Topology
    from machine.vmstate.description import VMStateDescription

    RtcOptions = tuple[int | None, bool, bool]

_RELEASE = 1_670_976_000  # 2022-12-14


class Machine(Rooms):
    """A machine, stopped until `start`; `machine.assembly` gives it its parts.

    Args:
        board: the machine type.
        ram_size: bytes; None for the board's own.
        cpus: how many processors, on a board that has any.
        name, uuid: what the user calls it; the UUID in its usual text form.
        program: what begins a line on stderr.
        wall_clock_ns: ns since 1970, UTC; dates snapshots.

    Attributes:
        reporter: takes a line from the depths; the monitor puts itself here while its command
            runs, otherwise lines go to stderr.
        teller: likewise takes what QEMU prints on its own standard output.
        location: what stands before such a line on stderr, such as the option that it is about.
        autostart: whether a machine that comes in runs on, if it ran where it came from.
        head: the snapshot that it was last saved to or put back to; None for none.
        escape_code: the key that commands a multiplexed character device; Ctrl-A.
        console: takes lines of stderr in its stead, where a front end draws on the terminal.
        events: what happens, for whoever listens.
        delays: how slow commands are made on purpose; None for not at all.
        trace: the moments that are to be written to the log.
        steps: likewise of snapshots while they are made, loaded and deleted.
        guest: what executes while the machine runs; None for nothing.
        debugger: who waits for one, or has one; None for nobody.
        loads: what a reset puts into memory and processors beside the images.
        isa: what every PC has; None on a board without.
        microvm: what only a microvm has; None on another board.
    """

    def __init__(
        self,
        board: Board = BOARDS[0],
        *,
        ram_size: int | None = None,
        cpus: int = 1,
        name: str = "",
        uuid: str = "00000000-0000-0000-0000-000000000000",
        program: str = "hmp",
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__()
        self.board = board
        self.name = name
        self.uuid = uuid
        self.program = program
        self.wall_clock_ns = wall_clock_ns
        self.reporter: Callable[[str], object] | None = None
        self.teller: Callable[[str], object] | None = None
        self.location = ""
        self.console: Callable[[str], object] | None = None
        self.loop = MainLoop()
        self.clock = VirtualClock()
        self.events = Events()
        self.steps = Steps()
        self.trace = Trace(self._write_log)
        self.runstate = RunState.PRELAUNCH
        self.autostart = True
        self.graph = Graph(self.report, self.complain)
        self.drives = Drives(
            self.graph,
            default_interface=board.default_interface,
            units_per_bus=board.units_per_bus,
        )
        self.graph.keeps_bitmaps = True
        self.memory = Memory()
        size = board.default_ram if ram_size is None else ram_size
        self.ram_size = _rounded(size) if board.ram_name else 0
        self.cpus: list[X86Cpu] = []
        self.guest: GuestSlices | None = None
        self.isa: IsaDevices | None = None
        self.microvm: MicrovmDevices | None = None
        self.roms: list[Rom] = []
        self.loads: list[Rom | StartAddress] = []
        self.buses = board_buses(board)
        self.serial_count = 0
        self.parallel_count = 0
        self.serials: list[Chardev | None] = []
        self.chardevs: list[Chardev] = []
        self.escape_code = 0x01
        self.announcements: dict[str, Announcement] = {}
        self.board_states: list[tuple[VMStateDescription, Any]] = []
        self.switches: dict[str, bool] = {}
        self.is_single_stepping = False
        self.delays: Delays | None = None
        self.shutdown_requested = False
        self.exit_status = 0
        self.actions = {deed: choices[0] for deed, choices in ACTIONS.items()}
        self.cpu_count = cpus if board.has_cpu else 0
        self.topology: Topology | None = None
        self.numa: Numa | None = None
        self.rtc_options: RtcOptions = (None, False, False)
        self.head: Head | None = None
        self.debugger: GdbStub | None = None

    def fit(self, board: Board, topology: Topology | None) -> None:
        """Take another make of the board, before anything is plugged in.

        Args:
            topology: the processors; None for one.
        """
        self.board = board
        self.buses = board_buses(board)
        if topology is not None:
            self.topology = topology
            self.cpu_count = topology.cpus if board.has_cpu else 0

    def cpu_places(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Where processors are or can be: path in the object tree, "" for an empty place; ids."""
        if self.topology is not None:
            places = self.topology.places()
        else:
            places = (
                {"socket-id": 0, "core-id": core, "thread-id": 0} for core in range(self.cpu_count)
            )
        devices = self._plugs.devices if self._plugs is not None else ()
        plugged = {device.shown["cpu"]: device.path for device in devices if "cpu" in device.shown}
        for index, place in enumerate(places):
            # The first processor is made first, its APIC's ROM next, and then the others.
            number = index + (index > 0)
            path = f"/machine/unattached/device[{number}]" if index < self.cpu_count else ""
            yield path or plugged.get(str(index), ""), place

    # --- clocks, and what is saved

    def set_rtc(self, *, base: int | None, is_local: bool, follows_guest: bool) -> None:
        """Choose the date that the machine begins with; see `machine.rtc.RtcClock`."""
        self.rtc_options = (base, is_local, follows_guest)
        self._rtc_clock = None

    def follow_virtual_time(self, base: int | None) -> None:
        """Let no clock of the host be seen, and nothing be random.

        Guest time moves only when it is told to.

        Args:
            base: the date when it is 0, seconds since 1970; None for QEMU 7.2's release.
        """
        self.clock = VirtualClock(manual=True)
        self.graph.draw = lambda: 0
        begin_ns = (_RELEASE if base is None else base) * 1_000_000_000
        self.wall_clock_ns = lambda: begin_ns + self.clock.now_ns()
        os.environ["TZ"] = "UTC"
        time.tzset()

    @property
    def states(self) -> Iterator[tuple[VMStateDescription, Any, str]]:
        """What is saved of the devices: the description, who has the attributes, the bus path."""
        for description, state in self.board_states:
            yield description, state, ""
        for device in self.plugs.devices if self._plugs is not None else ():
            for description, state in device.states:
                yield description, state, device.bus_path

    # --- running

    @property
    def is_running(self) -> bool:
        """Whether the guest executes."""
        return self.runstate is RunState.RUNNING

    def status_text(self) -> str:
        """What follows ``VM status: ``."""
        status = self.runstate.status
        if not self.is_single_stepping:
            return status
        state, _, reason = status.partition(" ")
        return " ".join([state, "(single step mode)", *filter(None, [reason])])

    def set_runstate(self, state: RunState) -> None:
        """Change the run state; guest time passes only in `RunState.RUNNING`."""
        was_running = self.is_running
        before, self.runstate = self.runstate, follow(self.runstate, state)
        self.trace("runstate_set", f"current_run_state {before.shown} new_state {state.shown}")
        if state is RunState.RUNNING:
            self.clock.start()
            if not was_running:
                self.trace("vm_state_notify", f"running 1 reason {state.shown}")
                self.events.emit("RESUME")
        else:
            self.clock.stop()
            if was_running:
                self.trace("vm_state_notify", f"running 0 reason {state.shown}")
                self.events.emit("STOP")
        if self.guest is not None:
            self.guest.set_running(self.is_running)
        if self._network is not None:
            self._network.set_running(self.is_running)

    def stop(self, state: RunState = RunState.PAUSED) -> None:
        """Stop a running machine; one that is stopped keeps its reason."""
        if self.is_running:
            self.set_runstate(state)
        elif self.runstate is RunState.INMIGRATE and state is RunState.PAUSED:
            self.autostart = False

    def cont(self) -> None:
        """Let the machine run; one that is yet to come, when it is there.

        Raises:
            QemuError: a state that only a reset or the end of a migration leaves, or somebody
                else has a disk.
        """
        if self.runstate in (RunState.SHUTDOWN, RunState.INTERNAL_ERROR):
            raise QemuError("Resetting the Virtual Machine is required")
        if self.runstate is RunState.FINISH_MIGRATE:
            raise QemuError("Migration is not finalized yet")
        self.graph.activate()
        if self.runstate is RunState.INMIGRATE:
            self.autostart = True
        else:
            self.set_runstate(RunState.RUNNING)

    def reset(self) -> None:
        """What the reset button does; a machine that is stopped is as before its launch then."""
        if self.actions["reboot"] == "shutdown":
            self.request_shutdown(reason="host-qmp-system-reset")
            if self.actions["shutdown"] == "pause":
                self.shutdown_requested = False
                self.stop(RunState.SHUTDOWN)
            return
        self.reset_devices()
        self.events.emit("RESET", guest=False, reason="host-qmp-system-reset")
        keeping = (RunState.RUNNING, RunState.INMIGRATE, RunState.FINISH_MIGRATE)
        if self.runstate not in keeping:
            self.set_runstate(RunState.PRELAUNCH)

    def reset_devices(self) -> None:
        """Put devices and loaded images back to their first state; RAM keeps its content."""
        self._ports = None
        if self._plugs is not None:
            self._plugs.reset()
        if self.isa is not None:
            self.isa.reset()
        if self.microvm is not None:
            self.microvm.reset()
        if self.guest is not None:
            self.guest.reset()
        for backend in self.drives.backends:
            backend.tray_open = False
        for cpu in self.cpus:
            cpu.reset()
        for each in (*self.roms, *self.loads):
            each.load_into(self.memory)
        if self._log is not None and "cpu_reset" in self._log.items:
            for cpu in self.cpus:
                self._log.write("".join(f"{line}\n" for line in cpu.describe_reset()))

    def request_shutdown(self, status: int = 0, *, reason: str = "host-qmp-quit") -> None:
        """End the program once the command that runs is done.

        Args:
            status: what it exits with; what fails ends without an event.
            reason: QEMU's ShutdownCause.
        """
        self.shutdown_requested = True
        self.exit_status = status
        if not status:
            self.events.emit("SHUTDOWN", guest=False, reason=reason)

    def settle(self) -> None:
        """Bring to the files what drives still keep in memory.

        Raises:
            QemuError: a file can't be written; what waits is tried again the next time.
        """
        for node in self.graph.nodes.values():
            if not node.is_exclusive:  # a copy that is being made is nobody's disk yet
                node.write_back()

    def close(self) -> None:
        """Close all drives, and what else has files and sockets.

        Raises:
            QemuError: a drive can't be written.
        """
        if self.is_running:
            shown = RunState.SHUTDOWN.shown
            self.trace("runstate_set", f"current_run_state {self.runstate.shown} new_state {shown}")
            self.trace("vm_state_notify", f"running 0 reason {shown}")
        if self._objects is not None:
            self._objects.close()
        if self._network is not None:
            self._network.close()
        if self._jobs is not None:
            self._jobs.cancel_all()
        if self._exports is not None:
            self._exports.close()
        self.graph.close()
        if self._log is not None:
            self._log.close()

    def set_head(self, tag: str, nodes: Sequence[BlockNode]) -> None:
        """The machine is now what this snapshot, on these disks, has."""
        from machine.head import Head

        if self.head is not None:
            self.head.close()
        self.head = Head(tag, nodes, self.memory.blocks)

    def forget_head(self) -> None:
        """What the machine was saved to or put back to is no longer its affair."""
        if self.head is not None:
            self.head.close()
        self.head = self._lineage = None

    def job_names(self) -> list[str]:
        """What goes on beside the guest, such as ``migrate (active, 3 MiB left)``."""
        names = []
        migration = self._migration
        if migration is not None and migration.status.is_under_way:
            left = f", {migration.pending >> 20} MiB left" if migration.pending else ""
            names.append(f"migrate ({migration.status.name}{left})")
        for job in self._jobs or ():
            names.append(f"{job.type} {job.id} ({job.progress_text})")
        return names

    # --- saying

    def report(self, text: str) -> None:
        """Say a line from the depths: on the monitor whose command runs, else on stderr."""
        if self.reporter is not None:
            self.reporter(text)
        else:
            self.complain(f"{self.program}: {self.location}{text}")

    def complain(self, text: str) -> None:
        """Write a line to stderr."""
        if self.console is not None:
            self.console(text)
            return
        try:
            os.write(2, f"{text}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # nobody listens there; the machine goes on

    def tell(self, text: str) -> None:
        """Write text to stdout as it is, beside whatever monitor is there."""
        if self.teller is not None:
            self.teller(text)
        else:
            self.write_stdout(text)

    def write_stdout(self, text: str) -> None:
        """Likewise, whose command may run."""
        if self.console is not None:
            self.console(text.strip())
            return
        try:
            os.write(1, text.encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # as for stderr

    def _write_log(self, text: str) -> None:
        self.log.write(text)

    def log_exception(self) -> None:
        """Keep the traceback of the exception being handled for whoever mends the program."""
        folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        try:
            import traceback

            os.makedirs(os.path.join(folder, "hmp"), exist_ok=True)
            with open(os.path.join(folder, "hmp", "errors.log"), "a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.program}\n")
                traceback.print_exc(file=log)
        except OSError:
            pass  # without a place for the log the monitor's line must do

    def complain_text(self, text: str) -> None:
        """Write text to stderr as it is."""
        self.complain(text.removesuffix("\n"))

    # --- what the monitor shows and completes

    def describe(self, topic: str) -> Sequence[str] | None:
        """The lines that answer an ``info`` topic: see `machine.inventory`."""
        from machine.inventory import describe

        return describe(self, topic)

    def find_chardev(self, label: str) -> Chardev | None:
        """The character device of this name."""
        return next((each for each in self.chardevs if each.label == label), None)


def _rounded(size: int) -> int:
    """RAM comes in two pages or more at a time (QEMU rounds up to 8 KiB)."""
    step = 2 * PAGE_SIZE
    return -(-size // step) * step
