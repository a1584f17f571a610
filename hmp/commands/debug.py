"""Logs, traces, recording and replaying, and a debugger's way in."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def print_log_items(monitor: Monitor) -> None:
    """What `help log` prints, and `log` itself when an item is not known."""
    from machine.log import describe_items

    monitor.print(describe_items("log"))


def log(monitor: Monitor, *, items: str) -> None:
    from machine.log import UnknownItem, read_items
    from machine.trace import EVENTS

    machine = monitor.machine
    if items == "trace:help":
        machine.tell("".join(f"{name}\n" for name in EVENTS))
        return
    try:
        wanted = frozenset[str]()
        if items != "none":
            wanted = read_items(items, machine.trace, monitor.print_line)
        machine.log.set_items(wanted)
    except UnknownItem:
        print_log_items(monitor)
    except QemuError as error:
        monitor.print_line(str(error))


def logfile(monitor: Monitor, *, filename: str) -> None:
    try:
        monitor.machine.log.set_name(filename)
    except QemuError as error:
        monitor.print_line(str(error))


def trace_event(monitor: Monitor, *, name: str, option: bool, vcpu: int | None) -> None:
    if _may_trace(monitor, name, vcpu):
        monitor.machine.trace.set(name, option)


def info_trace_events(monitor: Monitor, *, name: str | None, vcpu: int | None) -> None:
    from machine.trace import matching

    trace, pattern = monitor.machine.trace, "*" if name is None else name
    # QEMU lists its events from the last to the first; of those of one CPU there are none.
    if _may_trace(monitor, pattern, vcpu):
        for each in reversed([*matching(pattern)]):
            monitor.print_line(f"{each} : state {int(each in trace.wanted)}")


def _may_trace(monitor: Monitor, pattern: str, vcpu: int | None) -> bool:
    """Whether a pattern, with the CPU it is to be for, says anything; a word about it if not."""
    from machine.trace import is_pattern, matching

    if vcpu is not None and not any(cpu.index == vcpu for cpu in monitor.machine.cpus):
        monitor.print_line(f"invalid vCPU index {vcpu}")
    elif not is_pattern(pattern) and not any(matching(pattern)):
        monitor.print_line(f'unknown event "{pattern}"')
    elif vcpu is None:
        return True
    elif not is_pattern(pattern):
        monitor.print_line(f'event "{pattern}" is not vCPU-specific')
    return False


def gdbserver(monitor: Monitor, *, device: str | None) -> None:
    from hmp.command_line.debugger import start_debugger
    from machine.gdb.server import NONE, USUAL

    name = USUAL if device is None else device
    try:
        start_debugger(monitor.machine, name, monitor.print_line)
    except QemuError as error:
        if text := str(error):
            monitor.print_line(text)
        monitor.print_line(f"Could not open gdbserver on device '{name}'")
        return
    if name == NONE:
        monitor.print_line("Disabled gdbserver")
    else:
        monitor.print_line(f"Waiting for gdb connection on device '{name}'")


def sync_profile(monitor: Monitor, *, op: str | None) -> None:
    if op is None:
        state = "on" if monitor.machine.switches.get("sync-profile") else "off"
        monitor.print_line(f"sync-profile is {state}")
    elif op in ("on", "off"):
        monitor.machine.switches["sync-profile"] = op == "on"
    elif op != "reset":
        raise QemuError(f"Invalid parameter '{op}'")


def info_sync_profile(monitor: Monitor, *, mean: bool, no_coalesce: bool, max: int | None) -> None:
    """One thread takes no locks, so that nobody ever waited for one."""
    heading = "Type               Object  Call site  Wait Time (s)         Count  Average (us)"
    monitor.print_line(heading)
    for _ in range(2):
        monitor.print_line("-" * len(heading))


def replay_break(monitor: Monitor, *, icount: int) -> None:
    monitor.print_line("setting the breakpoint is allowed only in play mode")


def replay_delete_break(monitor: Monitor) -> None:
    monitor.print_line("replay breakpoints are allowed only in play mode")


def replay_seek(monitor: Monitor, *, icount: int) -> None:
    monitor.print_line("replay must be enabled to seek")


def info_replay(monitor: Monitor) -> None:
    monitor.print_line("Record/replay is not active")


COMMANDS = (
    Command(
        name="log",
        args_type="items:s",
        params="item1[,...]",
        help="activate logging of the specified items",
        run=log,
    ),
    Command(
        name="logfile",
        args_type="filename:F",
        params="filename",
        help="output logs to 'filename'",
        run=logfile,
    ),
    Command(
        name="trace-event",
        args_type="name:s,option:b,vcpu:i?",
        params="name on|off [vcpu]",
        help="changes status of a specific trace event (vcpu: vCPU to set, default is all)",
        run=trace_event,
    ),
    Command(
        name="gdbserver",
        args_type="device:s?",
        params="[device]",
        help="start gdbserver on given device (default 'tcp::1234'), stop with 'none'",
        run=gdbserver,
    ),
    Command(
        name="sync-profile",
        args_type="op:s?",
        params="[on|off|reset]",
        help=(
            "enable, disable or reset synchronization profiling. With no "
            "arguments, prints whether profiling is on or off."
        ),
        run=sync_profile,
    ),
    Command(
        name="replay_break",
        args_type="icount:l",
        params="icount",
        help="set breakpoint at the specified instruction count",
        run=replay_break,
    ),
    Command(
        name="replay_delete_break",
        args_type="",
        params="",
        help="remove replay breakpoint",
        run=replay_delete_break,
    ),
    Command(
        name="replay_seek",
        args_type="icount:l",
        params="icount",
        help="replay execution to the specified instruction count",
        run=replay_seek,
    ),
)

INFO = (
    Command(
        name="trace-events",
        args_type="name:s?,vcpu:i?",
        params="[name] [vcpu]",
        help=(
            "show available trace-events & their state (name: event name pattern; "
            "vcpu: vCPU to query, default is any)"
        ),
        run=info_trace_events,
    ),
    Command(
        name="sync-profile",
        args_type="mean:-m,no_coalesce:-n,max:i?",
        params="[-m] [-n] [max]",
        help=(
            "show synchronization profiling info, up to max entries (default: 10), "
            "sorted by total wait time. (-m: sort by mean wait time; -n: do not "
            "coalesce objects with the same call site)"
        ),
        run=info_sync_profile,
    ),
    Command(
        name="replay",
        args_type="",
        params="",
        help="show record/replay information",
        run=info_replay,
    ),
)
