"""Character devices, and descriptors passed over them."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from machine.chardev.options import (
    HELP,
    ChardevOptions,
    ChardevSyntaxError,
    describe_options,
    parse_chardev,
)
from machine.chardev.plug import (
    add_chardev,
    change_chardev,
    find_chardev,
    find_ring_buffer,
    remove_chardev,
)
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
    monitor.descriptors.keep(fdname, fd)


def closefd(monitor: Monitor, *, fdname: str) -> None:
    monitor.descriptors.close(fdname)


def info_chardev(monitor: Monitor) -> None:
    shown = {chardev.label: chardev.filename for chardev in monitor.machine.chardevs}
    for label in children_in_order(shown):
        monitor.print_line(f"{label}: filename={shown[label]}")


def chardev_add(monitor: Monitor, *, args: str) -> None:
    options = _options(monitor, args)
    if options is not None:
        add_chardev(monitor.machine, options, monitor.print_line)


def chardev_change(monitor: Monitor, *, id: str, args: str) -> None:
    options = _options(monitor, args, label=id)
    if options is not None:
        change_chardev(monitor.machine, options, monitor.print_line)


def chardev_remove(monitor: Monitor, *, id: str) -> None:
    remove_chardev(monitor.machine, id)


def chardev_send_break(monitor: Monitor, *, id: str) -> None:
    find_chardev(monitor.machine, id).receive_break()


def ringbuf_write(monitor: Monitor, *, device: str, data: str) -> None:
    """The text as it is typed, in the terminal's encoding."""
    found = find_ring_buffer(monitor.machine, device)
    found.write(data.encode("utf-8", "surrogateescape"))


def ringbuf_read(monitor: Monitor, *, device: str, size: int) -> None:
    """What can't be printed comes by its number, a backslash twice."""
    found = find_ring_buffer(monitor.machine, device)
    if not size:
        raise QemuError("size must be greater than zero")
    text = found.read(size).decode("utf-8", "replace")
    shown = [
        "\\\\" if c == "\\" else f"\\u{ord(c):04X}" if (c < " " and c != "\n") or c == "\x7f" else c
        for c in text
    ]
    monitor.print_line("".join(shown))


def _options(monitor: Monitor, text: str, label: str | None = None) -> ChardevOptions | None:
    """What a text asks for; None where it asked for help, which it got.

    Raises:
        QemuError: it can't be.
    """
    for each in text.split(","):
        if each in ("help", "?"):
            if text in ("help", "?"):
                monitor.print_line("Available chardev backend types: ")
                for name in HELP:
                    monitor.print_line(f"  {name}")
                return None
            for line in describe_options():
                monitor.print_line(line)
            raise QemuError("Parsing chardev args failed")
    try:
        options = parse_chardev(text, monitor.machine.report, label)
    except ChardevSyntaxError as error:
        monitor.print_line(str(error))
        raise QemuError("Parsing chardev args failed") from error
    values = options.values
    if options.backend == "socket" and not {"path", "host"} & set(values):
        # Here a socket that is given has the name that `getfd` gave it.
        values["fd"] = str(monitor.take_descriptor(values.get("fd", "")))
    return options


COMMANDS = (
    Command(
        name="chardev-add",
        args_type="args:s",
        params="args",
        help="add chardev",
        run=chardev_add,
    ),
    Command(
        name="chardev-change",
        args_type="id:s,args:s",
        params="id args",
        help="change chardev",
        run=chardev_change,
    ),
    Command(
        name="chardev-remove",
        args_type="id:s",
        params="id",
        help="remove chardev",
        run=chardev_remove,
        complete=complete_chardev,
    ),
    Command(
        name="chardev-send-break",
        args_type="id:s",
        params="id",
        help="send a break on chardev",
        run=chardev_send_break,
        complete=complete_chardev,
    ),
    Command(
        name="ringbuf_write",
        args_type="device:s,data:s",
        params="device data",
        help="Write to a ring buffer character device",
        run=ringbuf_write,
        complete=complete_ring_buffer,
    ),
    Command(
        name="ringbuf_read",
        args_type="device:s,size:i",
        params="device size",
        help="Read from a ring buffer character device",
        run=ringbuf_read,
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
