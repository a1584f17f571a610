"""Every command there is: the families, added up."""

from __future__ import annotations

from hmp.command import Command, CommandTable
from hmp.commands import (
    address,
    block,
    chardev,
    debug,
    device,
    dirty,
    display,
    export,
    information,
    job,
    memory,
    migration,
    network,
    processor,
    qom,
    run,
    snapshot,
    virtio,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def info(monitor: Monitor, *, item: str | None) -> None:
    """Only reached by `info` alone: with a topic, that topic's own row is run."""
    monitor.print_help(["info"])


INFO = CommandTable(
    (
        *address.INFO,
        *block.INFO,
        *chardev.INFO,
        *debug.INFO,
        *device.INFO,
        *dirty.INFO,
        *display.INFO,
        *information.INFO,
        *job.INFO,
        *migration.INFO,
        *network.INFO,
        *qom.INFO,
        *processor.INFO,
        *run.INFO,
        *snapshot.INFO,
        *virtio.INFO,
    )
)

COMMANDS = CommandTable(
    (
        *address.COMMANDS,
        *block.COMMANDS,
        *chardev.COMMANDS,
        *debug.COMMANDS,
        *device.COMMANDS,
        *dirty.COMMANDS,
        *display.COMMANDS,
        *export.COMMANDS,
        *information.COMMANDS,
        *job.COMMANDS,
        *memory.COMMANDS,
        *migration.COMMANDS,
        *network.COMMANDS,
        *qom.COMMANDS,
        *processor.COMMANDS,
        *run.COMMANDS,
        *snapshot.COMMANDS,
        Command(
            name="info",
            args_type="item:s?",
            params="[subcommand]",
            help="show various information about the system state",
            run=info,
            sub_table=INFO,
        ),
    )
)
