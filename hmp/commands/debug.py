"""Logs, traces, recording and replaying, and a debugger's way in."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command
from hmp.commands.unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


LOG_ITEMS = (
    ("out_asm", "show generated host assembly code for each compiled TB"),
    ("in_asm", "show target assembly code for each compiled TB"),
    ("op", "show micro ops for each compiled TB"),
    ("op_opt", "show micro ops after optimization"),
    ("op_ind", "show micro ops before indirect lowering"),
    ("int", "show interrupts/exceptions in short format"),
    ("exec", "show trace before each executed TB (lots of logs)"),
    ("cpu", "show CPU registers before entering a TB (lots of logs)"),
    ("fpu", "include FPU registers in the 'cpu' logging"),
    ("mmu", "log MMU-related activities"),
    ("pcall", "x86 only: show protected mode far calls/returns/exceptions"),
    ("cpu_reset", "show CPU state before CPU resets"),
    ("unimp", "log unimplemented functionality"),
    (
        "guest_errors",
        "log when the guest OS does something invalid (eg accessing a\nnon-existent register)",
    ),
    ("page", "dump pages at beginning of user mode emulation"),
    (
        "nochain",
        'do not chain compiled TBs so that "exec" and "cpu" show\ncomplete traces',
    ),
    ("plugin", "output from TCG plugins\n"),
    ("strace", "log every user-mode syscall, its input, and its result"),
    ("tid", "open a separate log file per thread; filename must contain '%d'"),
)
_TRACE_PREFIX = "trace:"


def print_log_items(monitor: Monitor) -> None:
    """What `help log` prints, and `log` itself when an item is not known."""
    monitor.print_line("Log items (comma separated):")
    for name, text in (("none", "remove all logs"), *LOG_ITEMS):
        monitor.print_line(f"{name:<15} {text}")
    monitor.print_line("trace:PATTERN   enable trace events")
    monitor.print('\nUse "log trace:help" to get a list of trace events.\n\n')


def log(monitor: Monitor, *, items: str) -> None:
    """The guest is not translated code: there is nothing to log, so only the words count."""
    known = {name for name, _ in LOG_ITEMS} | {"all"}
    if items == "none":
        return
    names = items.split(",")
    for name in names:
        if name.startswith(_TRACE_PREFIX) and "*" not in name:
            event = name.removeprefix(_TRACE_PREFIX)
            monitor.print_line(f"warning: trace event '{event}' does not exist")
        elif name not in known and not name.startswith(_TRACE_PREFIX):
            print_log_items(monitor)
            return
    if "tid" in names or "all" in names:
        monitor.print_line("Filename template with '%d' required for 'tid'")


def logfile(monitor: Monitor, *, filename: str) -> None:
    """As nothing is ever logged, the file is never opened."""
    _, percent, after = filename.partition("%")
    if percent and (not after.startswith("d") or "%" in after):
        monitor.print_line(f"Bad logfile template: {filename}")


def trace_event(monitor: Monitor, *, name: str, option: bool, vcpu: int | None) -> None:
    _check_trace_event(monitor, name, vcpu)


def info_trace_events(monitor: Monitor, *, name: str | None, vcpu: int | None) -> None:
    _check_trace_event(monitor, "*" if name is None else name, vcpu)


def _check_trace_event(monitor: Monitor, name: str, vcpu: int | None) -> None:
    """There is no trace event at all: a pattern finds nothing, a name is unknown."""
    if vcpu is not None and not any(cpu.index == vcpu for cpu in monitor.machine.cpus):
        monitor.print_line(f"invalid vCPU index {vcpu}")
    elif "*" not in name:
        monitor.print_line(f'unknown event "{name}"')


def gdbserver(monitor: Monitor, *, device: str | None) -> None:
    name = "tcp::1234" if device is None else device
    if not monitor.machine.cpus:
        monitor.print_line("gdbstub: meaningless to attach gdb to a machine without any CPU.")
        monitor.print_line(f"Could not open gdbserver on device '{name}'")
    elif device == "none":
        monitor.print_line("Disabled gdbserver")
    else:
        unavailable(monitor)


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
