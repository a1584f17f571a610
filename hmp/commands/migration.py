"""Migration: to another machine, or into a file."""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.errors import Canceled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine
    from machine.migration.outgoing import OutgoingJob

_PROGRESS_NS = 1_000_000_000  # between two lines about the disks


def complete_capability(machine: Machine, words: Sequence[str]) -> Completion:
    from machine.migration.capabilities import NAMES

    if len(words) == 1:
        return Completion.of(words[0], NAMES)
    return Completion.of(words[-1], ("on", "off") if len(words) == 2 else ())


def complete_parameter(machine: Machine, words: Sequence[str]) -> Completion:
    from machine.migration.parameters import COMPLETED_NAMES

    return Completion.of(words[-1], COMPLETED_NAMES if len(words) == 1 else ())


def migrate(
    monitor: Monitor, *, detach: bool, blk: bool, inc: bool, resume: bool, uri: str
) -> Iterator[object]:
    """Begin, and unless detached wait for the end; what went wrong by then goes to stderr.

    If the disks go along, their progress is shown meanwhile.
    """
    machine = monitor.machine
    migration = machine.migration
    job = migration.start(uri, monitor.take_descriptor, block=blk, incremental=inc, resume=resume)
    if detach:
        return
    if not monitor.can_wait:
        text = "terminal does not allow synchronous migration, continuing detached"
        monitor.print_line(text)
        return
    if job is not None:
        try:
            yield from _finished(monitor, job)
        except Canceled:
            migration.cancel()
            raise
    if blk or inc:
        monitor.print_line("")
    if migration.error:
        machine.complain(f"{machine.program}: {migration.error}")


def _finished(monitor: Monitor, job: OutgoingJob) -> Iterator[object]:
    """Until a migration is over; once a second tell how far its disks are."""
    while not job.is_finished:
        sent, total = monitor.machine.migration.disk_progress
        if total:
            monitor.print(f"Completed {sent * 100 // total} %\r")
        yield from job.finished_or(time.monotonic_ns() + _PROGRESS_NS)


def migrate_cancel(monitor: Monitor) -> None:
    monitor.machine.migration.cancel()


def migrate_continue(monitor: Monitor, *, state: str) -> None:
    monitor.machine.migration.go_on(state)


def migrate_incoming(monitor: Monitor, *, uri: str) -> None:
    from machine.migration.transport import numbered_descriptor

    def take_descriptor(text: str) -> int:
        if text[:1].isdecimal():
            return numbered_descriptor(text)
        return monitor.take_descriptor(text)

    monitor.machine.incoming.start(uri, take_descriptor)


def migrate_recover(monitor: Monitor, *, uri: str) -> None:
    monitor.machine.migration.recover()


def migrate_pause(monitor: Monitor) -> None:
    monitor.machine.migration.pause()


def migrate_start_postcopy(monitor: Monitor) -> None:
    monitor.machine.migration.start_postcopy()


def migrate_set_capability(monitor: Monitor, *, capability: str, state: bool) -> None:
    from machine.migration.capabilities import NAMES

    if capability not in NAMES:
        raise QemuError(f"invalid parameter value: {capability}")
    monitor.machine.migration.set_capability(capability, state)


def migrate_set_parameter(monitor: Monitor, *, parameter: str, value: str) -> None:
    from hmp.migration_values import read_value
    from machine.migration.parameters import BY_NAME

    if parameter == "block-bitmap-mapping":
        raise QemuError("The block-bitmap-mapping parameter can only be set through QMP")
    if parameter not in BY_NAME:
        raise QemuError(f"invalid parameter value: {parameter}")
    kind = BY_NAME[parameter].kind
    typed = read_value(parameter, kind, value, monitor.machine.report)
    monitor.machine.migration.set_parameter(parameter, typed)


def x_colo_lost_heartbeat(monitor: Monitor) -> None:
    raise QemuError("The feature 'colo' is not enabled")


def client_migrate_info(
    monitor: Monitor,
    *,
    protocol: str,
    hostname: str,
    port: int | None,
    tls_port: int | None,
    cert_subject: str | None,
) -> None:
    if protocol != "spice":
        raise QemuError("Parameter 'protocol' expects 'spice'")
    raise QemuError("SPICE is not in use")


def info_migrate(monitor: Monitor) -> None:
    from hmp.migration_info import migrate_lines

    for line in migrate_lines(monitor.machine):
        monitor.print_line(line)


def info_migrate_capabilities(monitor: Monitor) -> None:
    from hmp.migration_info import capability_lines

    for line in capability_lines(monitor.machine):
        monitor.print_line(line)


def info_migrate_parameters(monitor: Monitor) -> None:
    from hmp.migration_info import parameter_lines

    for line in parameter_lines(monitor.machine):
        monitor.print_line(line)


def info_rdma(monitor: Monitor) -> None:
    """Says something of RDMA network cards only; no machine of ours has one."""


COMMANDS = (
    Command(
        name="migrate",
        args_type="detach:-d,blk:-b,inc:-i,resume:-r,uri:s",
        params="[-d] [-b] [-i] [-r] uri",
        help=(
            "migrate to URI (using -d to not wait for completion)\n"
            "\t\t\t -b for migration without shared storage with full copy of disk\n"
            "\t\t\t -i for migration without shared storage with incremental copy of "
            "disk (base image shared between src and destination)\n"
            "\t\t\t -r to resume a paused migration"
        ),
        run=migrate,
    ),
    Command(
        name="migrate_cancel",
        args_type="",
        params="",
        help="cancel the current VM migration",
        run=migrate_cancel,
    ),
    Command(
        name="migrate_continue",
        args_type="state:s",
        params="state",
        help="Continue migration from the given paused state",
        run=migrate_continue,
    ),
    Command(
        name="migrate_incoming",
        args_type="uri:s",
        params="uri",
        help="Continue an incoming migration from an -incoming defer",
        run=migrate_incoming,
    ),
    Command(
        name="migrate_recover",
        args_type="uri:s",
        params="uri",
        help="Continue a paused incoming postcopy migration",
        run=migrate_recover,
    ),
    Command(
        name="migrate_pause",
        args_type="",
        params="",
        help="Pause an ongoing migration (postcopy-only)",
        run=migrate_pause,
    ),
    Command(
        name="migrate_set_capability",
        args_type="capability:s,state:b",
        params="capability state",
        help="Enable/Disable the usage of a capability for migration",
        run=migrate_set_capability,
        complete=complete_capability,
    ),
    Command(
        name="migrate_set_parameter",
        args_type="parameter:s,value:s",
        params="parameter value",
        help="Set the parameter for migration",
        run=migrate_set_parameter,
        complete=complete_parameter,
    ),
    Command(
        name="migrate_start_postcopy",
        args_type="",
        params="",
        help=(
            "Followup to a migration command to switch the migration to postcopy "
            "mode. The postcopy-ram capability must be set on both source and "
            "destination before the original migration command ."
        ),
        run=migrate_start_postcopy,
    ),
    Command(
        name="x_colo_lost_heartbeat",
        args_type="",
        params="",
        help=("Tell COLO that heartbeat is lost,\n\t\t\ta failover or takeover is needed."),
        run=x_colo_lost_heartbeat,
    ),
    Command(
        name="client_migrate_info",
        args_type="protocol:s,hostname:s,port:i?,tls-port:i?,cert-subject:s?",
        params="protocol hostname port tls-port cert-subject",
        help="set migration information for remote display",
        run=client_migrate_info,
    ),
)

INFO = (
    Command(
        name="migrate",
        args_type="",
        params="",
        help="show migration status",
        run=info_migrate,
    ),
    Command(
        name="migrate_capabilities",
        args_type="",
        params="",
        help="show current migration capabilities",
        run=info_migrate_capabilities,
    ),
    Command(
        name="migrate_parameters",
        args_type="",
        params="",
        help="show current migration parameters",
        run=info_migrate_parameters,
    ),
    Command(
        name="rdma",
        args_type="",
        params="",
        help="show RDMA state",
        run=info_rdma,
    ),
)
