"""Disks served to others over the network."""

from __future__ import annotations

from hmp.command import Command
from hmp.commands.unavailable import unavailable

COMMANDS = (
    Command(
        name="nbd_server_start",
        args_type="all:-a,writable:-w,uri:s",
        params="nbd_server_start [-a] [-w] host:port",
        help="serve block devices on the given host and port",
        run=unavailable,
    ),
    Command(
        name="nbd_server_add",
        args_type="writable:-w,device:B,name:s?",
        params="nbd_server_add [-w] device [name]",
        help="export a block device via NBD",
        run=unavailable,
    ),
    Command(
        name="nbd_server_remove",
        args_type="force:-f,name:s",
        params="nbd_server_remove [-f] name",
        help="remove an export previously exposed via NBD",
        run=unavailable,
    ),
    Command(
        name="nbd_server_stop",
        args_type="",
        params="nbd_server_stop",
        help="stop serving block devices using the NBD protocol",
        run=unavailable,
    ),
)
