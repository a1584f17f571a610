"""What a machine has that is made when it is first asked for, as most never are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from blockdev.jobs import Jobs
    from machine.descriptors import DescriptorSets
    from machine.devices.flash import FlashChips
    from machine.devices.ports import Ports
    from machine.devices.qdev import Plugs
    from machine.dirty_rate import DirtyRate
    from machine.dump import GuestDump
    from machine.exports import Exports
    from machine.lineage import Lineage
    from machine.log import LogFile
    from machine.machine import Machine
    from machine.mice import Mice
    from machine.migration.incoming import Incoming
    from machine.migration.migrate import Migration
    from machine.migration.savevm import SavedState
    from machine.net.network import Network
    from machine.qom.objects import Objects
    from machine.rtc import RtcClock
    from machine.vmstate.blockers import Blockers


class Rooms:
    """The rooms of a machine; `machine.machine.Machine` is the one class that has them.

    A room's module is imported when the room is made, which keeps the start quick.
    """

    def __init__(self) -> None:
        self._rtc_clock: RtcClock | None = None
        self._mice: Mice | None = None
        self._network: Network | None = None
        self._objects: Objects | None = None
        self._plugs: Plugs | None = None
        self._flash: FlashChips | None = None
        self._lineage: Lineage | None = None
        self._saved_state: SavedState | None = None
        self._blockers: Blockers | None = None
        self._descriptor_sets: DescriptorSets | None = None
        self._migration: Migration | None = None
        self._incoming: Incoming | None = None
        self._jobs: Jobs | None = None
        self._exports: Exports | None = None
        self._dirty_rate: DirtyRate | None = None
        self._dump: GuestDump | None = None
        self._log: LogFile | None = None
        self._ports: Ports | None = None

    @property
    def _machine(self) -> Machine:
        """The machine itself, which this is a part of."""
        machine: Any = self
        whole: Machine = machine
        return whole

    @property
    def log(self) -> LogFile:
        """The log, and what is wanted in it."""
        if self._log is None:
            from machine.log import LogFile

            self._log = LogFile(self._machine.complain_text)
        return self._log

    @property
    def mice(self) -> Mice:
        """Mice and keyboards."""
        if self._mice is None:
            from machine.mice import Mice

            self._mice = Mice(self._machine.board)
        return self._mice

    @property
    def network(self) -> Network:
        """Network cards and back ends."""
        if self._network is None:
            from machine.net.network import Network

            self._network = Network()
            self._network.is_running = self._machine.is_running
        return self._network

    @property
    def has_network(self) -> bool:
        """Whether somebody asked for `network` already."""
        return self._network is not None

    @property
    def objects(self) -> Objects:
        """The objects beside the machine."""
        if self._objects is None:
            from machine.qom.objects import Objects

            self._objects = Objects(self._machine)
        return self._objects

    @property
    def has_objects(self) -> bool:
        """Whether somebody asked for `objects` already."""
        return self._objects is not None

    @property
    def plugs(self) -> Plugs:
        """The devices that were plugged in."""
        if self._plugs is None:
            from machine.devices.qdev import Plugs

            self._plugs = Plugs(self._machine)
        return self._plugs

    @property
    def has_plugs(self) -> bool:
        """Whether somebody asked for `plugs` already."""
        return self._plugs is not None

    @property
    def flash(self) -> FlashChips:
        """The flash chips in the firmware's place."""
        if self._flash is None:
            from machine.devices.flash import FlashChips

            self._flash = FlashChips(self._machine)
        return self._flash

    @property
    def has_flash(self) -> bool:
        """Whether somebody asked for `flash` already."""
        return self._flash is not None

    @property
    def rtc_clock(self) -> RtcClock:
        """The guest's wall clock."""
        if self._rtc_clock is None:
            from machine.rtc import RtcClock

            base, is_local, follows_guest = self._machine.rtc_options
            self._rtc_clock = RtcClock(
                self._machine.wall_clock_ns,
                self._machine.clock,
                base=base,
                is_local=is_local,
                follows_guest=follows_guest,
            )
        return self._rtc_clock

    @property
    def has_saved_state(self) -> bool:
        """Whether somebody asked for `saved_state` already."""
        return self._saved_state is not None

    @property
    def saved_state(self) -> SavedState:
        """What is saved of this machine; made when it is first asked for."""
        if self._saved_state is None:
            from machine.migration.savevm import SavedState

            self._saved_state = SavedState(self._machine)
        return self._saved_state

    @property
    def blockers(self) -> Blockers:
        """Reasons why the machine can't be saved."""
        if self._blockers is None:
            from machine.vmstate.blockers import Blockers

            only_migratable = self._machine.switches.get("only-migratable", False)
            beside = self._machine.graph.migration_blockers
            self._blockers = Blockers(only_migratable=only_migratable, beside=beside)
        return self._blockers

    @property
    def descriptor_sets(self) -> DescriptorSets:
        """Descriptors that clients passed for all to use."""
        if self._descriptor_sets is None:
            from machine.descriptors import DescriptorSets

            self._descriptor_sets = DescriptorSets()
        return self._descriptor_sets

    @property
    def migration(self) -> Migration:
        """What leaves the machine, and the settings of that."""
        if self._migration is None:
            from machine.migration.migrate import Migration

            self._migration = Migration(self._machine)
        return self._migration

    @property
    def incoming(self) -> Incoming:
        """What the machine waits for in `RunState.INMIGRATE`."""
        if self._incoming is None:
            from machine.migration.incoming import Incoming

            self._incoming = Incoming(self._machine)
        return self._incoming

    @property
    def dirty_rate(self) -> DirtyRate:
        """How fast the guest writes its memory, as last measured."""
        if self._dirty_rate is None:
            from machine.dirty_rate import DirtyRate

            self._dirty_rate = DirtyRate(self._machine.memory, self._machine.loop)
        return self._dirty_rate

    @property
    def dump(self) -> GuestDump:
        """The guest's memory as a core file."""
        if self._dump is None:
            from machine.dump import GuestDump

            self._dump = GuestDump(self._machine)
        return self._dump

    @property
    def jobs(self) -> Jobs:
        """Work on disks that goes on beside the guest."""
        if self._jobs is None:
            from machine.job_steps import jobs_of

            self._jobs = jobs_of(self._machine)
        return self._jobs

    @property
    def lineage(self) -> Lineage:
        """Which snapshot came after which."""
        if self._lineage is None:
            from machine.lineage import Lineage

            self._lineage = Lineage()
        return self._lineage

    @property
    def ports(self) -> Ports:
        """The I/O ports as a processor sees them."""
        if self._ports is None:
            from machine.devices.ports import Ports

            self._ports = Ports(self._machine)
        return self._ports

    @property
    def exports(self) -> Exports:
        """What is shown to others over the network."""
        if self._exports is None:
            from machine.exports import Exports

            self._exports = Exports(self._machine)
        return self._exports

    @property
    def has_exports(self) -> bool:
        """Whether somebody asked for `exports` already."""
        return self._exports is not None
