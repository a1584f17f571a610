"""Snapshots of the machine and of single disks."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from machine.identifiers import snapshot_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def savevm(monitor: Monitor, *, name: str | None) -> Iterator[object]:
    from machine import snapshot

    yield from snapshot.savevm(monitor.machine, name)


def loadvm(monitor: Monitor, *, name: str) -> Iterator[object]:
    from machine import snapshot

    yield from snapshot.loadvm(monitor.machine, name)


def delvm(monitor: Monitor, *, name: str) -> None:
    from machine import snapshot

    snapshot.delvm(monitor.machine, name)


def snapshot_blkdev(
    monitor: Monitor, *, reuse: bool, device: str, snapshot_file: str | None, format: str | None
) -> None:
    from machine.external_snapshot import snapshot_to_file

    if snapshot_file is None:
        raise QemuError("Parameter 'snapshot-file' is missing")
    snapshot_to_file(
        monitor.machine,
        device,
        snapshot_file,
        driver="qcow2" if format is None else format,
        is_existing=reuse,
    )


def snapshot_blkdev_internal(monitor: Monitor, *, device: str, name: str) -> None:
    from machine.device_snapshot import create_on_device

    create_on_device(monitor.machine, device, name)


def snapshot_delete_blkdev_internal(
    monitor: Monitor, *, device: str, name: str, id: str | None
) -> None:
    from machine.device_snapshot import delete_on_device

    delete_on_device(monitor.machine, device, name, id)


def info_snapshots(monitor: Monitor) -> None:
    from hmp.block_info import SNAPSHOT_HEADING, snapshot_row
    from machine.snapshot_list import list_snapshots

    try:
        listing = list_snapshots(monitor.machine)
    except QemuError as error:
        monitor.print_line(str(error))  # QEMU prints this one without `Error: `
        return
    if not listing.on_all and not listing.partial:
        monitor.print_line("There is no snapshot available.")
        return
    monitor.print_line("List of snapshots present on all disks:")
    if listing.on_all:
        monitor.print(SNAPSHOT_HEADING)
        for snapshot in listing.on_all:
            # Each disk has an ID of its own for it, so none is shown.
            monitor.print(snapshot_row(snapshot, id="--"))
    else:
        monitor.print_line("None")
    for device, snapshots in listing.partial:
        monitor.print_line(f"\nList of partial (non-loadable) snapshots on '{device}':")
        monitor.print(SNAPSHOT_HEADING)
        for snapshot in snapshots:
            monitor.print(snapshot_row(snapshot))


def complete_snapshot(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], snapshot_names(machine) if len(words) == 1 else ())


COMMANDS = (
    Command(
        name="savevm",
        args_type="name:s?",
        params="tag",
        help="save a VM snapshot. If no tag is provided, a new snapshot is created",
        run=savevm,
    ),
    Command(
        name="loadvm",
        args_type="name:s",
        params="tag",
        help="restore a VM snapshot from its tag",
        run=loadvm,
        complete=complete_snapshot,
    ),
    Command(
        name="delvm",
        args_type="name:s",
        params="tag",
        help="delete a VM snapshot from its tag",
        run=delvm,
        complete=complete_snapshot,
    ),
    Command(
        name="snapshot_blkdev",
        args_type="reuse:-n,device:B,snapshot-file:s?,format:s?",
        params="[-n] device [new-image-file] [format]",
        help=(
            "initiates a live snapshot\n"
            "\t\t\tof device. If a new image file is specified, the\n"
            "\t\t\tnew image file will become the new root image.\n"
            "\t\t\tIf format is specified, the snapshot file will\n"
            "\t\t\tbe created in that format.\n"
            "\t\t\tThe default format is qcow2.  The -n flag requests QEMU\n"
            "\t\t\tto reuse the image found in new-image-file, instead of\n"
            "\t\t\trecreating it from scratch."
        ),
        run=snapshot_blkdev,
    ),
    Command(
        name="snapshot_blkdev_internal",
        args_type="device:B,name:s",
        params="device name",
        help=(
            "take an internal snapshot of device.\n"
            "\t\t\tThe format of the image used by device must\n"
            "\t\t\tsupport it, such as qcow2.\n"
            "\t\t\t"
        ),
        run=snapshot_blkdev_internal,
    ),
    Command(
        name="snapshot_delete_blkdev_internal",
        args_type="device:B,name:s,id:s?",
        params="device name [id]",
        help=(
            "delete an internal snapshot of device.\n"
            "\t\t\tIf id is specified, qemu will try delete\n"
            "\t\t\tthe snapshot matching both id and name.\n"
            "\t\t\tThe format of the image used by device must\n"
            "\t\t\tsupport it, such as qcow2.\n"
            "\t\t\t"
        ),
        run=snapshot_delete_blkdev_internal,
    ),
)

INFO = (
    Command(
        name="snapshots",
        args_type="",
        params="",
        help="show the currently saved VM snapshots",
        run=info_snapshots,
    ),
)
