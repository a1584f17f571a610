"""Block devices: media, sizes, limits, and a look at them."""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.backend import Backend
    from hmp.monitor import Monitor
    from hmp.tools.io_target import IoTarget
    from machine.machine import Machine


def qemu_io(monitor: Monitor, *, qdev: bool, device: str, command: str) -> Iterator[object]:
    from hmp.tools.io import run

    machine = monitor.machine
    backend = _backend(machine, device, by_device=qdev)
    if backend is not None:
        # A drive with limits makes its user wait, while all others go on.
        is_write = "write" in command.split(" ")[0]
        while wait_ns := backend.wait_ns(is_write=is_write):
            yield from machine.loop.moment(time.monotonic_ns() + wait_ns)
    target = _target(machine, device, backend)
    # QEMU's qemu-io prints on the program's own standard output, wherever the monitor is.
    run(command, target, monitor.aside, machine.complain_text, machine.report)


def _backend(machine: Machine, name: str, *, by_device: bool) -> Backend | None:
    if not by_device:
        return machine.drives.backend(name)
    backend = next((b for b in machine.drives.backends if b.device == name), None)
    if backend is None:
        raise QemuError(f"Device '{name}' not found")
    return backend


def _target(machine: Machine, name: str, backend: Backend | None) -> IoTarget:
    from blockdev.permissions import conflict, job_conflict
    from hmp.tools.io_target import IoTarget

    if backend is not None:

        def begin(offset: int, size: int, is_write: bool) -> None:
            if is_write:
                backend.account(size, is_write=True)
            else:
                backend.begin_read(offset, size)

        def refused(wanted: Sequence[str]) -> str | None:
            return job_conflict(backend) if "resize" in wanted else None

        return IoTarget(
            backend.node, write_through=not backend.write_cache, refusal=refused, begin=begin
        )
    node = machine.graph.find(name)
    if node is None:
        raise QemuError(f"Cannot find device='' nor node-name='{name}'")

    def refusal(wanted: Sequence[str]) -> str | None:
        return conflict(machine.graph, machine.drives.backends, node, wanted)

    return IoTarget(node, refusal=refusal)


def commit(monitor: Monitor, *, device: str) -> Iterator[object]:
    from machine import block_change

    try:
        yield from block_change.commit(monitor.machine, device)
    except QemuError as error:
        monitor.print_line(str(error))  # QEMU prints this one without `Error: `


def block_resize(monitor: Monitor, *, device: str, size: int) -> None:
    from machine import block_change

    block_change.resize(monitor.machine, device, size)


def drive_add(monitor: Monitor, *, node: bool, pci_addr: str, opts: str) -> None:
    from hmp.drive_words import add_drive, add_node

    try:
        if node:
            add_node(monitor, opts)
        else:
            add_drive(monitor, opts)
    except QemuError as error:
        monitor.print_line(str(error))


def drive_del(monitor: Monitor, *, id: str) -> None:
    from machine import block_change

    try:
        block_change.delete_drive(monitor.machine, id)
    except QemuError as error:
        monitor.print_line(str(error))


def block_set_io_throttle(
    monitor: Monitor,
    *,
    device: str,
    bps: int,
    bps_rd: int,
    bps_wr: int,
    iops: int,
    iops_rd: int,
    iops_wr: int,
) -> None:
    from blockdev.throttle import BUCKETS
    from machine.block_change import set_throttle
    from machine.media import find_drive

    values = (bps, bps_rd, bps_wr, iops, iops_rd, iops_wr)
    limits = dict(zip(BUCKETS, values, strict=True))
    backend = monitor.machine.drives.backend(device)
    if backend is None:
        backend = find_drive(monitor.machine, None, device)
    set_throttle(backend, device, limits)


def eject(monitor: Monitor, *, force: bool, device: str) -> None:
    from machine import media

    media.eject(monitor.machine, device, force=force)


def change(
    monitor: Monitor,
    *,
    device: str,
    force: bool,
    target: str,
    arg: str | None,
    read_only_mode: str | None,
) -> None:
    from machine import media

    if device == "vnc":
        _change_vnc(monitor, target, arg, read_only_mode)
        return
    media.change(
        monitor.machine, device, target, driver=arg, read_only_mode=read_only_mode, force=force
    )


def _change_vnc(monitor: Monitor, target: str, password: str | None, mode: str | None) -> None:
    """The password of a screen over the network, which no machine of ours has."""
    if mode is not None:
        monitor.print_line("Parameter 'read-only-mode' is invalid for VNC")
    elif target not in ("password", "passwd"):
        monitor.print_line("Expected 'password' after 'vnc'")
    elif password is not None:
        raise QemuError("Could not set password")
    elif monitor.read_password is None:
        monitor.print_line("terminal does not support password prompting")
    else:
        monitor.read_password(lambda _: None)  # QEMU says nothing of it either


def info_block(monitor: Monitor, *, nodes: bool, verbose: bool, device: str | None) -> None:
    from hmp.block_info import device_text, node_text

    machine = monitor.machine
    if not nodes:
        backends = [b for b in machine.drives.backends if b.name or b.device]
        drives = [(b.name, device_text(b, verbose=verbose)) for b in backends]
        if _show_entries(monitor, drives, device) or device is None:
            return
    newest_first = list(machine.graph.nodes.values())[::-1]
    entries = [(node.node_name, node_text(node, verbose=verbose)) for node in newest_first]
    _show_entries(monitor, entries, device)


def _show_entries(monitor: Monitor, entries: list[tuple[str, str]], wanted: str | None) -> bool:
    """Show those of the wanted name, or all; whether there were any."""
    is_any = False
    for number, (name, text) in enumerate(entries):
        if wanted is None or name == wanted:
            # QEMU parts each from the one before it, whether that was shown or not.
            monitor.print(("\n" if number else "") + text)
            is_any = True
    return is_any


def info_blockstats(monitor: Monitor) -> None:
    from hmp.block_info import blockstats_text

    for backend in monitor.machine.drives.backends:
        if backend.name or backend.device:
            monitor.print(blockstats_text(backend))


COMMANDS = (
    Command(
        name="commit",
        args_type="device:B",
        params="device|all",
        help="commit changes to the disk images (if -snapshot is used) or backing files",
        run=commit,
    ),
    Command(
        name="block_resize",
        args_type="device:B,size:o",
        params="device size",
        help="resize a block image",
        run=block_resize,
    ),
    Command(
        name="eject",
        args_type="force:-f,device:B",
        params="[-f] device",
        help="eject a removable medium (use -f to force it)",
        run=eject,
    ),
    Command(
        name="change",
        args_type="device:B,force:-f,target:F,arg:s?,read-only-mode:s?",
        params="device [-f] filename [format [read-only-mode]]",
        help="change a removable medium, optional format, use -f to force the operation",
        run=change,
    ),
    Command(
        name="drive_add",
        args_type="node:-n,pci_addr:s,opts:s",
        params=(
            "[-n] [[<domain>:]<bus>:]<slot>\n"
            "[file=file][,if=type][,bus=n]\n"
            "[,unit=m][,media=d][,index=i]\n"
            "[,snapshot=on|off][,cache=on|off]\n"
            "[,readonly=on|off][,copy-on-read=on|off]"
        ),
        help="add drive to PCI storage controller",
        run=drive_add,
    ),
    Command(
        name="drive_del",
        args_type="id:B",
        params="device",
        help="remove host block device",
        run=drive_del,
    ),
    Command(
        name="qemu-io",
        args_type="qdev:-d,device:B,command:s",
        params='[-d] [device] "[command]"',
        help=(
            "run a qemu-io command on a block device\n"
            "\t\t\t-d: [device] is a device ID rather than a drive ID or node name"
        ),
        run=qemu_io,
    ),
    Command(
        name="block_set_io_throttle",
        args_type="device:B,bps:l,bps_rd:l,bps_wr:l,iops:l,iops_rd:l,iops_wr:l",
        params="device bps bps_rd bps_wr iops iops_rd iops_wr",
        help="change I/O throttle limits for a block drive",
        run=block_set_io_throttle,
    ),
)

INFO = (
    Command(
        name="block",
        args_type="nodes:-n,verbose:-v,device:B?",
        params="[-n] [-v] [device]",
        help=(
            "show info of one block device or all block devices (-n: show named "
            "nodes; -v: show details)"
        ),
        run=info_block,
    ),
    Command(
        name="blockstats",
        args_type="",
        params="",
        help="show block device statistics",
        run=info_blockstats,
    ),
)
