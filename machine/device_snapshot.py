"""Snapshots of one disk, without the machine's state."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.snapshot import Snapshot, find_by_id_and_name, find_by_name
from machine.block_lookup import find_root
from machine.snapshot import kept_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


def create_on_device(machine: Machine, device: str, name: str) -> None:
    """Make a snapshot of one disk, without machine state.

    Raises:
        QemuError: no such disk, it can't have this snapshot, or it couldn't be written.
    """
    node = find_root(machine, device)
    if node.read_only:
        raise QemuError(f"Device '{device}' is read only")
    if not node.has_snapshots:
        raise QemuError(
            f"Block format '{node.driver}' used by device '{device}' "
            "does not support internal snapshots"
        )
    if not name:
        raise QemuError("Name is empty")
    if find_by_name(node.snapshots(), name) is not None:
        raise QemuError(f"Snapshot with name '{name}' already exists on device '{device}'")
    seconds, nanoseconds = divmod(machine.wall_clock_ns(), 1_000_000_000)
    snapshot = Snapshot(
        name=kept_tag(name),
        date_sec=seconds,
        date_nsec=nanoseconds,
        vm_clock_nsec=machine.clock.now_ns(),
    )
    machine.settle()
    try:
        node.snapshot_create(snapshot, None)
    except QemuError as error:
        reason = os.strerror(error.errno_value)
        text = f"Failed to create snapshot '{name}' on device '{device}': {reason}"
        raise QemuError(text, error.errno_value) from error


def delete_on_device(machine: Machine, device: str, name: str | None, id: str | None) -> Snapshot:
    """Delete a snapshot of one disk, and return which it was.

    Raises:
        QemuError: no such disk or snapshot, or it couldn't be deleted.
    """
    node = find_root(machine, device)
    if node.driver != "qcow2" and not node.has_snapshots:
        reason = os.strerror(errno.ENOTSUP)
        raise QemuError(f"Failed to get a snapshot list: {reason}", errno.ENOTSUP)
    snapshot = find_by_id_and_name(node.snapshots(), id, name)
    if snapshot is None:
        raise QemuError(
            f"Snapshot with id '{'null' if id is None else id}' "
            f"and name '{'null' if name is None else name}' does not exist on device '{device}'"
        )
    if node.read_only:
        reason = os.strerror(errno.EPERM)
        text = f"Failed to remove snapshot from snapshot list: {reason}"
        raise QemuError(text, errno.EPERM)
    node.snapshot_delete(snapshot.id, snapshot.name)
    return snapshot
