"""Character devices, and descriptors passed over them."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.unavailable import unavailable
from machine.child_order import children_in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def complete_chardev(machine: Machine, words: Sequence[str]) -> Completion:
    labels = [chardev.label for chardev in machine.chardevs]
    return Completion.of(words[-1], labels if len(words) == 1 else ())


def complete_ring_buffer(machine: Machine, words: Sequence[str]) -> Completion:
    labels = [
        chardev.label for chardev in machine.chardevs if chardev.filename in ("ringbuf", "memory")
    ]
    return Completion.of(words[-1], labels if len(words) == 1 else ())


def getfd(monitor: Monitor, *, fdname: str) -> None:
    fd = monitor.receive_descriptor()
    if fd is None:
        raise QemuError("No file descriptor supplied via SCM_RIGHTS")
    if fdname[:1].isdecimal():
        os.close(fd)
        raise QemuError("Parameter 'fdname' expects a name not starting with a digit")
    if fdname in monitor.descriptors:
        os.close(monitor.descriptors[fdname])
    monitor.descriptors[fdname] = fd


def closefd(monitor: Monitor, *, fdname: str) -> None:
    if fdname not in monitor.descriptors:
        raise QemuError(f"File descriptor named '{fdname}' not found")
    os.close(monitor.descriptors.pop(fdname))


def info_chardev(monitor: Monitor) -> None:
    shown = {chardev.label: chardev.filename for chardev in monitor.machine.chardevs}
    for label in children_in_order(shown):
        monitor.print_line(f"{label}: filename={shown[label]}")


COMMANDS = (
    Command(
        name="chardev-add",
        args_type="args:s",
        params="args",
        help="add chardev",
        run=unavailable,
    ),
    Command(
        name="chardev-change",
        args_type="id:s,args:s",
        params="id args",
        help="change chardev",
        run=unavailable,
    ),
    Command(
        name="chardev-remove",
        args_type="id:s",
        params="id",
        help="remove chardev",
        run=unavailable,
        complete=complete_chardev,
    ),
    Command(
        name="chardev-send-break",
        args_type="id:s",
        params="id",
        help="send a break on chardev",
        run=unavailable,
        complete=complete_chardev,
    ),
    Command(
        name="ringbuf_write",
        args_type="device:s,data:s",
        params="device data",
        help="Write to a ring buffer character device",
        run=unavailable,
        complete=complete_ring_buffer,
    ),
    Command(
        name="ringbuf_read",
        args_type="device:s,size:i",
        params="device size",
        help="Read from a ring buffer character device",
        run=unavailable,
        complete=complete_ring_buffer,
    ),
    Command(
        name="getfd",
        args_type="fdname:s",
        params="getfd name",
        help="receive a file descriptor via SCM rights and assign it a name",
        run=getfd,
    ),
    Command(
        name="closefd",
        args_type="fdname:s",
        params="closefd name",
        help="close a file descriptor previously passed via SCM rights",
        run=closefd,
    ),
)

INFO = (
    Command(
        name="chardev",
        args_type="",
        params="",
        help="show the character devices",
        run=info_chardev,
    ),
)
