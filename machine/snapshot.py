"""savevm, loadvm and delvm: first a plan that touches nothing, then its execution.

What is decided about disks is decided here; a plan can be shown to somebody as it is.
"""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from blockdev.snapshot import Snapshot, find_by_name, find_to_go_to
from machine.runstate import RunState
from machine.steps import (
    DELETE,
    END,
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
    from collections.abc import Generator, Iterator, Sequence

    from blockdev.node import BlockNode
    from machine.machine import Machine

_MAX_TAG = 255  # bytes that are kept of a tag


class Disk:
    """A disk that takes part in snapshots.

    Attributes:
        device: its drive's id; "" for a node that no drive uses.
        node: its root node.
    """

    __slots__ = ("device", "node")

    def __init__(self, device: str, node: BlockNode) -> None:
        self.device = device
        self.node = node

    @property
    def shown(self) -> str:
        """How messages call it."""
        return self.device or self.node.node_name


def disks(machine: Machine) -> list[Disk]:
    """The disks that a snapshot of the machine is of: those with a medium that can be written."""
    return [
        Disk(device, node)
        for device, node in machine.drives.root_nodes()
        if node.is_inserted and not node.read_only
    ]


def state_disk(machine: Machine) -> Disk | None:
    """The disk that machine state goes to: the first that can hold it."""
    return next((disk for disk in disks(machine) if disk.node.holds_vmstate), None)


def named_disks(machine: Machine, names: Sequence[str]) -> list[Disk]:
    """The disks of some nodes.

    Raises:
        QemuError: there is no such node, or no name.
    """
    if not names:
        raise QemuError("At least one device is required for snapshot")
    found = []
    for name in names:
        node = machine.graph.find(name)
        if node is None:
            raise QemuError(f"No block device node '{name}'")
        found.append(Disk("", node))
    return found


def _able_disks(machine: Machine, names: Sequence[str] | None = None) -> list[Disk]:
    """The disks that take part, by default all; refused when one of them has no snapshots."""
    found = disks(machine) if names is None else named_disks(machine, names)
    for disk in found:
        if not disk.node.has_snapshots:
            raise QemuError(f"Device '{disk.shown}' is writable but does not support snapshots")
    return found


def _state_disk_of(found: list[Disk], name: str | None) -> Disk:
    """Which of the disks has the machine state: that of a node, or the first."""
    for disk in found:
        if disk.node.node_name == name or (name is None and disk.node.holds_vmstate):
            return disk
    if name is not None:
        raise QemuError(f"vmstate block device '{name}' does not exist")
    raise no_state_disk()


def no_state_disk() -> QemuError:
    """What is said where no disk can take the machine's state."""
    return QemuError("no block device can store vmstate for snapshot")


# --- saving


class SavePlan:
    """What a savevm will do.

    Attributes:
        tag: the snapshot's name; None makes one from the time.
        disks: in the order in which they are snapshotted.
        state_disk: which of them takes the machine state.
        replaced: the snapshots of the same tag that go first, with their disks.
    """

    __slots__ = ("disks", "replaced", "state_disk", "tag")

    def __init__(
        self,
        tag: str | None,
        disks: list[Disk],
        state_disk: Disk,
        replaced: list[tuple[Disk, Snapshot]],
    ) -> None:
        self.tag = tag
        self.disks = disks
        self.state_disk = state_disk
        self.replaced = replaced


def plan_save(
    machine: Machine,
    tag: str | None,
    *,
    nodes: Sequence[str] | None = None,
    state_node: str | None = None,
    replaces: bool = True,
) -> SavePlan:
    """Decide what a savevm does, without touching anything.

    Args:
        nodes: of the disks that take part; None for all that can be written.
        state_node: of the one that takes the machine state; None for the first.
        replaces: snapshots of the same tag go; else there must be none.

    Raises:
        QemuError: the machine can't be saved, a disk that can be written has no snapshots, or
            there is none for the state.
    """
    machine.saved_state.registry.check_migratable()
    found = _able_disks(machine, nodes)
    replaced = _named(found, tag) if tag is not None else []
    if replaced and not replaces:
        raise QemuError(f"Snapshot '{tag}' already exists in one or more devices")
    return SavePlan(tag, found, _state_disk_of(found, state_node), replaced)


def save(machine: Machine, plan: SavePlan) -> Iterator[object]:
    """Run a plan: the machine stops, its state goes to one disk, every disk gets a snapshot.

    Yields now and then, so that somebody can look; the machine runs again afterwards if it did,
    also when something failed.

    Raises:
        QemuError: the snapshot wasn't made; those that the plan replaces may be gone.
    """
    _delete(machine, plan.replaced, REPLACE)
    was_running = machine.is_running
    saved_runstate = machine.runstate
    if was_running:
        machine.steps.tell(STOP)
    machine.stop(RunState.SAVE_VM)
    try:
        snapshot = yield from _save_stopped(machine, plan, saved_runstate)
        machine.lineage.saved(snapshot)
        machine.set_head(snapshot.name, [disk.node for disk in plan.disks])
    finally:
        if was_running:
            machine.steps.tell(RESUME)
            machine.cont()


def savevm(machine: Machine, tag: str | None) -> Iterator[object]:
    """What the monitor's savevm does.

    Raises:
        QemuError: as `plan_save` and `save`.
    """
    try:
        machine.steps.tell(LOOK)
        yield from save(machine, plan_save(machine, tag))
    finally:
        machine.steps.tell(END)


def _save_stopped(
    machine: Machine, plan: SavePlan, runstate: RunState
) -> Generator[object, None, Snapshot]:
    """Save, and return the snapshot that has the machine's state."""
    from machine.migration.savevm import write_state

    machine.settle()
    seconds, nanoseconds = divmod(machine.wall_clock_ns(), 1_000_000_000)
    tag = plan.tag
    if tag is None:
        tag = time.strftime("vm-%Y%m%d%H%M%S", time.localtime(seconds))
    machine.steps.tell(WRITE_STATE, plan.state_disk)
    area = plan.state_disk.node.open_vmstate()
    try:
        state_bytes = yield from write_state(machine, area, runstate)
        if machine.delays is not None:
            yield from machine.delays.steps(machine.delays.savevm)
        made: list[tuple[Disk, Snapshot]] = []
        for disk in plan.disks:
            holds_state = disk is plan.state_disk
            snapshot = Snapshot(
                name=kept_tag(tag),
                date_sec=seconds,
                date_nsec=nanoseconds,
                vm_clock_nsec=machine.clock.now_ns(),
                vm_state_size=state_bytes if holds_state else 0,
            )
            machine.steps.tell(MAKE, disk, snapshot)
            try:
                disk.node.snapshot_create(snapshot, area if holds_state else None)
            except QemuError as error:
                _roll_back(machine, made)
                text = f"Could not create snapshot '{tag}' on '{disk.shown}'"
                raise QemuError(text, error.errno_value) from error
            made.append((disk, snapshot))
    except QemuError:
        area.abandon()
        raise
    return next(snapshot for disk, snapshot in made if disk is plan.state_disk)


def _roll_back(machine: Machine, made: list[tuple[Disk, Snapshot]]) -> None:
    """Take the snapshots away that were made before one failed; what can't be stays."""
    try:
        _delete(machine, made, DELETE)
    except QemuError:
        pass  # the first failure is the one to be told of


def kept_tag(tag: str) -> str:
    """As much of a tag as is kept."""
    return tag.encode("utf-8", "surrogateescape")[:_MAX_TAG].decode("utf-8", "surrogateescape")


# --- loading


class LoadPlan:
    """What a loadvm will do.

    Attributes:
        tag: the name, which a disk also takes for an id.
        disks: all of them go back.
        state_disk: where the machine state comes from.
    """

    __slots__ = ("disks", "state_disk", "tag")

    def __init__(self, tag: str, disks: list[Disk], state_disk: Disk) -> None:
        self.tag = tag
        self.disks = disks
        self.state_disk = state_disk


def plan_load(
    machine: Machine,
    tag: str,
    *,
    nodes: Sequence[str] | None = None,
    state_node: str | None = None,
) -> LoadPlan:
    """Decide what a loadvm does, without touching anything; see `plan_save`.

    Raises:
        QemuError: a disk has no snapshots or not this one, or it has no machine state.
    """
    found = _able_disks(machine, nodes)
    if any(find_by_name(disk.node.snapshots(), tag) is None for disk in found):
        raise QemuError(f"Snapshot '{tag}' does not exist in one or more devices")
    source = _state_disk_of(found, state_node)
    snapshot = find_by_name(source.node.snapshots(), tag)
    assert snapshot is not None, "looked for on every disk just now"
    if not snapshot.vm_state_size:
        raise QemuError("This is a disk-only snapshot. Revert to it  offline using qemu-img")
    return LoadPlan(tag, found, source)


def load(machine: Machine, plan: LoadPlan) -> Iterator[object]:
    """Run a plan on a stopped machine: disks go back, then the state is loaded.

    Raises:
        QemuError: a disk couldn't go back, or the state can't be loaded; what was done stays.
    """
    from machine.lineage import Loss
    from machine.migration.savevm import read_state

    machine.settle()
    loss = Loss(machine)
    state_snapshot: Snapshot | None = None
    for disk in plan.disks:
        machine.steps.tell(GO_BACK, disk, find_to_go_to(disk.node.snapshots(), plan.tag))
        try:
            snapshot = disk.node.snapshot_goto(plan.tag)
        except QemuError as error:
            text = f"Could not load snapshot '{plan.tag}' on '{disk.shown}': {error}"
            raise QemuError(text, error.errno_value) from error
        if disk is plan.state_disk:
            state_snapshot = snapshot
    assert state_snapshot is not None, "the state's disk is one of the disks"
    machine.steps.tell(LOAD_STATE, plan.state_disk, state_snapshot)
    if machine.delays is not None:
        yield from machine.delays.steps(machine.delays.loadvm)
    machine.reset_devices()
    yield from read_state(machine, plan.state_disk.node, state_snapshot)
    machine.lineage.loaded(state_snapshot, loss)
    machine.set_head(state_snapshot.name, [disk.node for disk in plan.disks])


def loadvm(
    machine: Machine,
    tag: str,
    *,
    nodes: Sequence[str] | None = None,
    state_node: str | None = None,
) -> Iterator[object]:
    """What the monitor's loadvm does: stops first, runs on only if all went well.

    Args:
        nodes, state_node: see `plan_save`.

    Raises:
        QemuError: the machine stays stopped, as ``restore-vm`` if it ran.
    """
    was_running = machine.is_running
    try:
        if was_running:
            machine.steps.tell(STOP)
        machine.stop(RunState.RESTORE_VM)
        machine.steps.tell(FIND)
        yield from load(machine, plan_load(machine, tag, nodes=nodes, state_node=state_node))
        if was_running:
            machine.steps.tell(RESUME)
            machine.cont()
    finally:
        machine.steps.tell(END)


# --- deleting


def plan_delete(
    machine: Machine, tag: str, *, nodes: Sequence[str] | None = None
) -> list[tuple[Disk, Snapshot]]:
    """What a delvm deletes: on each disk the first snapshot of this tag, if there is one.

    Raises:
        QemuError: a disk that can be written has no snapshots.
    """
    return _named(_able_disks(machine, nodes), tag)


def delete(machine: Machine, plan: list[tuple[Disk, Snapshot]]) -> None:
    """Delete snapshots, disk after disk.

    Raises:
        QemuError: one couldn't be deleted; those before it are gone.
    """
    _delete(machine, plan, DELETE)


def delvm(machine: Machine, tag: str) -> None:
    """What the monitor's delvm does.

    Raises:
        QemuError: as `plan_delete` and `delete`.
    """
    try:
        machine.steps.tell(LOOK)
        delete(machine, plan_delete(machine, tag))
    finally:
        machine.steps.tell(END)


def _named(found: list[Disk], tag: str) -> list[tuple[Disk, Snapshot]]:
    pairs = [(disk, find_by_name(disk.node.snapshots(), tag)) for disk in found]
    return [(disk, snapshot) for disk, snapshot in pairs if snapshot is not None]


def _delete(machine: Machine, snapshots: list[tuple[Disk, Snapshot]], step: str) -> None:
    for disk, snapshot in snapshots:
        machine.steps.tell(step, disk, snapshot)
        try:
            disk.node.snapshot_delete(snapshot.id, snapshot.name)
        except QemuError as error:
            text = f"Could not delete snapshot '{snapshot.name}' on '{disk.shown}': {error}"
            raise QemuError(text, error.errno_value) from error
