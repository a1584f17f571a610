"""Disks served to others over the network."""

from __future__ import annotations

from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def nbd_server_start(monitor: Monitor, *, all: bool, writable: bool, uri: str) -> None:
    from blockdev.address import parse_address
    from blockdev.errors import QemuError

    if writable and not all:
        raise QemuError("-w only valid together with -a")
    exports = monitor.machine.exports
    exports.start(parse_address(uri))
    if all:
        exports.add_all(is_writable=writable)


def nbd_server_add(monitor: Monitor, *, writable: bool, device: str, name: str | None) -> None:
    monitor.machine.exports.add_device(device, name, is_writable=writable)


def nbd_server_remove(monitor: Monitor, *, force: bool, name: str) -> None:
    monitor.machine.exports.remove(name, is_hard=force)


def nbd_server_stop(monitor: Monitor) -> None:
    monitor.machine.exports.stop()


COMMANDS = (
    Command(
        name="nbd_server_start",
        args_type="all:-a,writable:-w,uri:s",
        params="nbd_server_start [-a] [-w] host:port",
        help="serve block devices on the given host and port",
        run=nbd_server_start,
    ),
    Command(
        name="nbd_server_add",
        args_type="writable:-w,device:B,name:s?",
        params="nbd_server_add [-w] device [name]",
        help="export a block device via NBD",
        run=nbd_server_add,
    ),
    Command(
        name="nbd_server_remove",
        args_type="force:-f,name:s",
        params="nbd_server_remove [-f] name",
        help="remove an export previously exposed via NBD",
        run=nbd_server_remove,
    ),
    Command(
        name="nbd_server_stop",
        args_type="",
        params="nbd_server_stop",
        help="stop serving block devices using the NBD protocol",
        run=nbd_server_stop,
    ),
)
