"""Migration: to another machine, or into a file."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


# What `-global migration.NAME=...` switches, and how it is without.
_SWITCHES = (
    ("store-global-state", True),
    ("only-migratable", False),
    ("send-configuration", True),
    ("send-section-footer", True),
    ("decompress-error-check", True),
)

_CAPABILITIES = (
    "xbzrle",
    "rdma-pin-all",
    "auto-converge",
    "zero-blocks",
    "compress",
    "events",
    "postcopy-ram",
    "x-colo",
    "release-ram",
    "block",
    "return-path",
    "pause-before-switchover",
    "multifd",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "x-ignore-shared",
    "validate-uuid",
    "background-snapshot",
    "zero-copy-send",
    "postcopy-preempt",
)

_PARAMETERS = (
    "announce-initial",
    "announce-max",
    "announce-rounds",
    "announce-step",
    "compress-level",
    "compress-threads",
    "decompress-threads",
    "compress-wait-thread",
    "throttle-trigger-threshold",
    "cpu-throttle-initial",
    "cpu-throttle-increment",
    "cpu-throttle-tailslow",
    "tls-creds",
    "tls-hostname",
    "tls-authz",
    "max-bandwidth",
    "downtime-limit",
    "x-checkpoint-delay",
    "block-incremental",
    "multifd-channels",
    "xbzrle-cache-size",
    "max-postcopy-bandwidth",
    "max-cpu-throttle",
    "multifd-compression",
    "multifd-zlib-level",
    "multifd-zstd-level",
    "block-bitmap-mapping",
)


def complete_capability(machine: Machine, words: Sequence[str]) -> Completion:
    if len(words) == 1:
        return Completion.of(words[0], _CAPABILITIES)
    return Completion.of(words[-1], ("on", "off") if len(words) == 2 else ())


def complete_parameter(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], _PARAMETERS if len(words) == 1 else ())


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
    monitor.print_line("globals:")
    for name, default in _SWITCHES:
        shown = "on" if monitor.machine.switches.get(name, default) else "off"
        monitor.print_line(f"{name}: {shown}")
    monitor.print_line("clear-bitmap-shift: 18")


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
        run=unavailable,
    ),
    Command(
        name="migrate_cancel",
        args_type="",
        params="",
        help="cancel the current VM migration",
        run=unavailable,
    ),
    Command(
        name="migrate_continue",
        args_type="state:s",
        params="state",
        help="Continue migration from the given paused state",
        run=unavailable,
    ),
    Command(
        name="migrate_incoming",
        args_type="uri:s",
        params="uri",
        help="Continue an incoming migration from an -incoming defer",
        run=unavailable,
    ),
    Command(
        name="migrate_recover",
        args_type="uri:s",
        params="uri",
        help="Continue a paused incoming postcopy migration",
        run=unavailable,
    ),
    Command(
        name="migrate_pause",
        args_type="",
        params="",
        help="Pause an ongoing migration (postcopy-only)",
        run=unavailable,
    ),
    Command(
        name="migrate_set_capability",
        args_type="capability:s,state:b",
        params="capability state",
        help="Enable/Disable the usage of a capability for migration",
        run=unavailable,
        complete=complete_capability,
    ),
    Command(
        name="migrate_set_parameter",
        args_type="parameter:s,value:s",
        params="parameter value",
        help="Set the parameter for migration",
        run=unavailable,
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
        run=unavailable,
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
        run=unavailable,
    ),
    Command(
        name="migrate_parameters",
        args_type="",
        params="",
        help="show current migration parameters",
        run=unavailable,
    ),
    Command(
        name="rdma",
        args_type="",
        params="",
        help="show RDMA state",
        run=info_rdma,
    ),
)
