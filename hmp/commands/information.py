"""Help, what the machine is called, and what the monitor knows of itself."""

from __future__ import annotations

from hmp import __version__
from hmp.command import Command
from hmp.commands.debug import print_log_items
from hmp.errors import WordError
from hmp.scanner import split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


QEMU_VERSION = "7.2.0"  # the version whose words these are


def help_(monitor: Monitor, *, name: str | None) -> None:
    # This is compared with the line as it was typed: `help "log"` is the usual help line.
    if name == "log":
        print_log_items(monitor)
        return
    try:
        words = split_words(name or "")
    except WordError as error:
        monitor.aside(f"{error}\n")
        return
    if words is not None:
        monitor.print_help(words)


def info_name(monitor: Monitor) -> None:
    if monitor.machine.name:
        monitor.print_line(monitor.machine.name)


def info_uuid(monitor: Monitor) -> None:
    monitor.print_line(monitor.machine.uuid)


def info_version(monitor: Monitor) -> None:
    monitor.print_line(f"{QEMU_VERSION} (hmp {__version__})")


def info_history(monitor: Monitor) -> None:
    for number, line in enumerate(monitor.history):
        monitor.print_line(f"{number}: '{line}'")


def info_stats(monitor: Monitor, *, target: str, names: str | None, provider: str | None) -> None:
    """Only KVM provides statistics, so there are never any to show."""
    if target not in ("vm", "vcpu"):
        monitor.print_line(f"invalid stats target {target}")
    elif provider not in (None, "kvm"):
        monitor.print_line(f"invalid stats provider {provider}")


COMMANDS = (
    Command(
        name="help|?",
        args_type="name:S?",
        params="[cmd]",
        help="show the help",
        run=help_,
    ),
)

INFO = (
    Command(
        name="name",
        args_type="",
        params="",
        help="show the current VM name",
        run=info_name,
    ),
    Command(
        name="uuid",
        args_type="",
        params="",
        help="show the current VM UUID",
        run=info_uuid,
    ),
    Command(
        name="version",
        args_type="",
        params="",
        help="show the version of QEMU",
        run=info_version,
    ),
    Command(
        name="history",
        args_type="",
        params="",
        help="show the command line history",
        run=info_history,
    ),
    Command(
        name="stats",
        args_type="target:s,names:s?,provider:s?",
        params="target [names] [provider]",
        help=(
            "show statistics for the given target (vm or vcpu); optionally filter "
            "byname (comma-separated list, or * for all) and provider"
        ),
        run=info_stats,
    ),
)
