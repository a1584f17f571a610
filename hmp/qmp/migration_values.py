"""How far a migration is, as `query-migrate` has it."""

from __future__ import annotations

from machine.memory import PAGE_SIZE
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
    from typing import Any

    from machine.machine import Machine
    from machine.migration.migrate import Migration

_IN_NUMBERS = (ACTIVE, CANCELLING, COMPLETED, DEVICE, PRE_SWITCHOVER)


def migrate_value(machine: Machine) -> dict[str, Any]:
    """What leaves the machine, or came to it; empty when nothing ever did."""
    value: dict[str, Any] = {}
    if blocked := machine.saved_state.registry.blocked_reasons():
        value["blocked-reasons"] = list(blocked)
    migration = machine.migration
    if migration.status is not NONE:
        value["status"] = migration.status.name
        if migration.status is FAILED and migration.error:
            value["error-desc"] = migration.error
        if migration.status in _IN_NUMBERS:
            _add_times(value, migration)
            value["ram"] = _memory(migration, machine.memory.ram_size)
            _add_capabilities(value, migration)
    elif machine.incoming.status is not NONE:
        value["status"] = machine.incoming.status.name
    return value


def _add_times(value: dict[str, Any], migration: Migration) -> None:
    timing = migration.timing
    value["setup-time"] = timing.setup_ms
    if migration.status is COMPLETED:
        value["total-time"] = timing.total_ms
        value["downtime"] = timing.downtime_ms
    else:
        value["total-time"] = timing.elapsed_ms
        value["expected-downtime"] = timing.expected_downtime_ms


def _memory(migration: Migration, ram_size: int) -> dict[str, Any]:
    statistics, timing = migration.statistics, migration.timing
    is_over = migration.status is COMPLETED
    return {
        "transferred": statistics.transferred,
        "remaining": 0 if is_over else migration.pending,
        "total": ram_size,
        "duplicate": statistics.duplicate,
        "skipped": 0,
        "normal": statistics.normal,
        "normal-bytes": statistics.normal * PAGE_SIZE,
        "dirty-pages-rate": statistics.dirty_pages_rate,
        "mbps": timing.megabits_per_second,
        "dirty-sync-count": statistics.dirty_sync_count,
        "postcopy-requests": 0,
        "page-size": PAGE_SIZE,
        "multifd-bytes": 0,
        "pages-per-second": timing.pages_per_second,
        "precopy-bytes": statistics.precopy_bytes,
        "downtime-bytes": statistics.downtime_bytes,
        "postcopy-bytes": 0,
        "dirty-sync-missed-zero-copy": 0,
    }


def _add_capabilities(value: dict[str, Any], migration: Migration) -> None:
    """What capabilities made of pages, and of disks."""
    sent, total = migration.disk_progress
    if total:
        value["disk"] = {
            **dict.fromkeys(
                "duplicate skipped normal normal-bytes dirty-pages-rate dirty-sync-count "
                "postcopy-requests page-size multifd-bytes pages-per-second precopy-bytes "
                "downtime-bytes postcopy-bytes dirty-sync-missed-zero-copy".split(),
                0,
            ),
            "mbps": 0.0,
            "transferred": sent,
            "remaining": total - sent,
            "total": total,
        }
