"""Disks as QMP tells of them: drives, nodes, images, and what went through them."""

from __future__ import annotations

import time

from blockdev.chain import backing_of
from blockdev.filter import skip_implicit
from blockdev.node_bitmap import shown_bitmaps
from blockdev.write_threshold import threshold_of
from hmp.image_info import image_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from blockdev.node_bitmap import NodeBitmap

# Devices that stop the guest when their disk fails, and tell that they did.
_WITHOUT_IO_STATUS = "/machine/unattached/"


def drive_value(backend: Backend) -> dict[str, Any]:
    """A drive, as `query-block` has it."""
    value: dict[str, Any] = {
        "device": backend.name,
        "type": "unknown",
        "removable": backend.is_removable,
        "locked": backend.is_locked,
    }
    if backend.device:
        value["qdev"] = backend.device
        if not backend.device.startswith(_WITHOUT_IO_STATUS):
            value["io-status"] = "ok"
    if backend.has_tray:
        value["tray_open"] = backend.tray_open
    node = backend.node
    if node is not None and node.is_inserted:
        value["inserted"] = node_value(
            skip_implicit(node), write_cache=backend.write_cache, backend=backend
        )
    return value


def node_value(
    node: BlockNode,
    *,
    write_cache: bool = True,
    is_flat: bool = False,
    backend: Backend | None = None,
) -> dict[str, Any]:
    """A node, as `query-named-block-nodes` has it.

    Args:
        is_flat: without the images under it.
        backend: the drive whose medium it is, which may have limits.
    """
    value: dict[str, Any] = {
        "file": node.filename,
        "node-name": node.node_name,
        "ro": node.read_only,
        "drv": node.driver,
    }
    # In the order of the schema: it decides between members that QEMU's table keeps together.
    backing = None if node.is_filter else backing_of(node)
    if backing is not None:
        value["backing_file"] = backing.filename
    layers = [node] if is_flat else list(_layers(node, of_drive=backend is not None))
    image: dict[str, Any] = {}
    for layer in layers[::-1]:
        image = image_info(layer) | ({"backing-image": image} if image else {})
    bitmaps = shown_bitmaps(node)
    if bitmaps:
        value["dirty-bitmaps"] = [_bitmap_value(bitmap) for bitmap in bitmaps]
    value |= {
        "encrypted": False,
        "cache": {
            "writeback": write_cache,
            "direct": node.cache.direct,
            "no-flush": node.cache.no_flush,
        },
        "detect_zeroes": node.detect_zeroes,
        "write_threshold": _signed(threshold_of(node)),
        "backing_file_depth": 0 if is_flat else len(layers) - 1,
        "image": image,
    }
    for unit in ("bps", "iops"):
        for direction in ("", "_rd", "_wr"):
            value[unit + direction] = 0
    if backend is not None and backend.throttle is not None:
        value.update(backend.throttle.shown_limits())
        value["group"] = backend.name
    return value


def _signed(value: int) -> int:
    """A number of 64 bits as QEMU shows it here."""
    return value - (1 << 64) if value >> 63 else value


def _bitmap_value(bitmap: NodeBitmap) -> dict[str, Any]:
    """A bitmap, as part of its node."""
    value: dict[str, Any] = {"name": bitmap.name} if bitmap.name else {}
    value.update(
        {
            "count": bitmap.count,
            "granularity": bitmap.marks.granularity,
            "recording": bitmap.shows_recording,
            "busy": bitmap.is_busy,
            "persistent": bitmap.is_persistent,
        }
    )
    if bitmap.is_inconsistent:
        value["inconsistent"] = True
    return value


def _layers(node: BlockNode, *, of_drive: bool) -> Iterator[BlockNode]:
    """A node and what its data comes from, one under the other.

    Args:
        of_drive: what nobody asked for isn't shown.
    """
    below: BlockNode | None = node
    while below is not None:
        yield below
        below = below.file if below.is_filter else below.backing
        if below is not None and of_drive:
            below = skip_implicit(below)


# --- statistics

_COUNTS = tuple(
    "unmap_bytes unmap_operations unmap_merged unmap_total_time_ns rd_merged wr_merged "
    "failed_rd_operations failed_wr_operations failed_flush_operations failed_unmap_operations "
    "invalid_rd_operations invalid_wr_operations invalid_flush_operations "
    "invalid_unmap_operations wr_highest_offset".split()
)


def drive_stats(backend: Backend) -> dict[str, Any]:
    """What went through a drive, as `query-blockstats` has it."""
    value: dict[str, Any] = {}
    if backend.node is not None:
        value.update(node_stats(skip_implicit(backend.node)))
    stats = backend.stats
    counts = _counts()
    counts.update(
        {
            "rd_bytes": stats.rd_bytes,
            "wr_bytes": stats.wr_bytes,
            "rd_operations": stats.rd_operations,
            "wr_operations": stats.wr_operations,
            "flush_operations": stats.flush_operations,
            "rd_total_time_ns": stats.rd_total_ns,
            "wr_total_time_ns": stats.wr_total_ns,
            "flush_total_time_ns": stats.flush_total_ns,
            "account_invalid": True,
            "account_failed": True,
        }
    )
    if stats.last_access_ns is not None:
        counts["idle_time_ns"] = stats.idle_ns(time.monotonic_ns())
    for kind, name in (("read", "rd"), ("write", "wr"), ("flush", "flush")):
        histogram = stats.histograms.get(kind)
        if histogram is not None:
            counts[f"{name}_latency_histogram"] = {
                "boundaries": histogram.boundaries,
                "bins": histogram.bins,
            }
    value["stats"] = counts
    value["device"] = backend.name
    if backend.device:
        value["qdev"] = backend.device
    return value


def node_stats(node: BlockNode, *, with_backing: bool = True) -> dict[str, Any]:
    """What is counted of a node, and of what is under it: nothing, for now, but it has a place."""
    value: dict[str, Any] = {"node-name": node.node_name, "stats": _counts()}
    if node.driver == "file":
        value["driver-specific"] = {
            "driver": "file",
            "discard-nb-ok": 0,
            "discard-nb-failed": 0,
            "discard-bytes-ok": 0,
        }
    if node.file is not None:
        value["parent"] = node_stats(node.file, with_backing=with_backing)
    backing = backing_of(node)
    if backing is not None and with_backing:
        value["backing"] = node_stats(backing)
    return value


def _counts() -> dict[str, Any]:
    counts: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
    for name in ("rd", "wr"):
        counts[f"{name}_bytes"] = counts[f"{name}_operations"] = counts[f"{name}_total_time_ns"] = 0
    counts.update(
        flush_operations=0,
        flush_total_time_ns=0,
        account_invalid=False,
        account_failed=False,
        timed_stats=[],
    )
    return counts
