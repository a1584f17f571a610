"""What `info migrate` and its sisters print."""

from __future__ import annotations

from machine.memory import PAGE_SIZE
from machine.migration.capabilities import NAMES
from machine.migration.parameters import PARAMETERS
from machine.migration.status import (
    ACTIVE,
    CANCELLING,
    COMPLETED,
    DEVICE,
    FAILED,
    NONE,
    PRE_SWITCHOVER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine
    from machine.migration.migrate import Migration

# What `-global migration.NAME=...` switches, and how it is without.
_SWITCHES = (
    ("store-global-state", True),
    ("only-migratable", False),
    ("send-configuration", True),
    ("send-section-footer", True),
    ("decompress-error-check", True),
)
_KIB = 1024
_IN_NUMBERS = (ACTIVE, CANCELLING, COMPLETED, DEVICE, PRE_SWITCHOVER)


def migrate_lines(machine: Machine) -> Iterator[str]:
    """``info migrate``."""
    yield "globals:"
    for name, default in _SWITCHES:
        yield f"{name}: {'on' if machine.switches.get(name, default) else 'off'}"
    yield f"clear-bitmap-shift: {machine.migration.clear_bitmap_shift}"
    if blocked := machine.saved_state.registry.blocked_reasons():
        yield "Outgoing migration blocked:"
        for reason in blocked:
            yield f"  {reason}"
    migration = machine.migration
    if migration.status is not NONE:
        yield from _status_lines(migration)
        if migration.status in _IN_NUMBERS:
            yield from _ram_lines(migration, machine.memory.ram_size)
            yield from _capability_lines(migration)
    elif machine.incoming.status is not NONE:
        yield f"Migration status: {machine.incoming.status.name}"
        yield "total time: 0 ms"
    if machine.incoming.places:
        yield "socket address: ["
        for place in machine.incoming.places:
            yield f"\t{place}"
        yield "]"


def _status_lines(migration: Migration) -> Iterator[str]:
    status, timing = migration.status, migration.timing
    reason = f" ({migration.error})" if status is FAILED and migration.error else ""
    yield f"Migration status: {status.name}{reason}"
    if status is COMPLETED:
        yield f"total time: {timing.total_ms} ms"
        yield f"downtime: {timing.downtime_ms} ms"
    elif status in _IN_NUMBERS:
        yield f"total time: {timing.elapsed_ms} ms"
        yield f"expected downtime: {timing.expected_downtime_ms} ms"
    else:
        yield "total time: 0 ms"
        return
    yield f"setup: {timing.setup_ms} ms"


def _ram_lines(migration: Migration, ram_size: int) -> Iterator[str]:
    statistics, timing = migration.statistics, migration.timing
    remaining = 0 if migration.status is COMPLETED else migration.pending
    yield f"transferred ram: {statistics.transferred // _KIB} kbytes"
    yield f"throughput: {timing.megabits_per_second:.2f} mbps"
    yield f"remaining ram: {remaining // _KIB} kbytes"
    yield f"total ram: {ram_size // _KIB} kbytes"
    yield f"duplicate: {statistics.duplicate} pages"
    yield "skipped: 0 pages"
    yield f"normal: {statistics.normal} pages"
    yield f"normal bytes: {statistics.normal * PAGE_SIZE // _KIB} kbytes"
    yield f"dirty sync count: {statistics.dirty_sync_count}"
    yield f"page size: {PAGE_SIZE // _KIB} kbytes"
    yield "multifd bytes: 0 kbytes"
    yield f"pages-per-second: {timing.pages_per_second}"
    if statistics.dirty_pages_rate:
        yield f"dirty pages rate: {statistics.dirty_pages_rate} pages"
    if statistics.precopy_bytes:
        yield f"precopy ram: {statistics.precopy_bytes // _KIB} kbytes"
    if statistics.downtime_bytes:
        yield f"downtime ram: {statistics.downtime_bytes // _KIB} kbytes"
    sent, total = migration.disk_progress
    if total:
        yield f"transferred disk: {sent // _KIB} kbytes"
        yield f"remaining disk: {(total - sent) // _KIB} kbytes"
        yield f"total disk: {total // _KIB} kbytes"


def _capability_lines(migration: Migration) -> Iterator[str]:
    """Counts of what capabilities did to pages; there is no XBZRLE on the way out."""
    if migration.capabilities["xbzrle"]:
        yield f"cache size: {migration.parameters.number('xbzrle-cache-size')} bytes"
        yield "xbzrle transferred: 0 kbytes"
        yield "xbzrle pages: 0 pages"
        yield "xbzrle cache miss: 0 pages"
        yield "xbzrle cache miss rate: 0.00"
        yield "xbzrle encoding rate: 0.00"
        yield "xbzrle overflow: 0"
    if migration.capabilities["compress"]:
        statistics = migration.statistics
        yield f"compression pages: {statistics.compressed} pages"
        yield "compression busy: 0"
        yield "compression busy rate: 0.00"
        yield f"compressed size: {statistics.compressed_bytes // _KIB} kbytes"
        yield "compression rate: 0.00"


def capability_lines(machine: Machine) -> Iterator[str]:
    """``info migrate_capabilities``."""
    for name in NAMES:
        yield f"{name}: {'on' if machine.migration.capabilities[name] else 'off'}"


def parameter_lines(machine: Machine) -> Iterator[str]:
    """``info migrate_parameters``."""
    for row in PARAMETERS:
        if row.shown:
            yield f"{row.name}: {machine.migration.parameters.shown(row)}"
