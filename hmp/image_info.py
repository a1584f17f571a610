"""What an image says of itself, as values and as the lines that people read."""

from __future__ import annotations

from blockdev.chain import full_backing_name
from blockdev.status import length_of
from hmp.block_info import size_text, snapshot_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from blockdev.node import BlockNode
    from blockdev.qcow2.image import Image
    from blockdev.snapshot import Snapshot

_SECOND_NS = 1_000_000_000


def image_info(node: BlockNode, *, filename: str = "") -> dict[str, Any]:
    """QEMU's ImageInfo of a node.

    Args:
        filename: to be shown; "" for the node's own.
    """
    from blockdev.qcow2.header import DIRTY
    from blockdev.qcow2.image import Image

    info: dict[str, Any] = {
        "filename": filename or node.filename,
        "format": node.driver,
        "virtual-size": length_of(node),
        "actual-size": node.allocated_bytes,
        "dirty-flag": False,
    }
    if node.allocated_bytes < 0:
        del info["actual-size"]
    if _is_untold(node):
        del info["dirty-flag"]
    # A raw node hands on what the format under it says, but for what is its format's alone.
    image = node.file if node.driver == "raw" else node
    if not isinstance(image, Image):
        if image is not None and image.cluster_size and image.file:
            info["cluster-size"] = image.cluster_size
        return info
    info["cluster-size"] = image.cluster_size
    if image.snapshots():
        info["snapshots"] = [snapshot_info(snapshot) for snapshot in image.snapshots()]
    if image is not node:
        return info
    info["dirty-flag"] = bool(image.header.incompatible_features & DIRTY)
    info["format-specific"] = {"type": "qcow2", "data": _qcow2_info(image)}
    if image.backing_name:
        info["backing-filename"] = image.backing_name
        info["full-backing-filename"] = full_backing_name(image, image.backing_name)
        if image.backing_format:
            info["backing-filename-format"] = image.backing_format
    return info


def _is_untold(node: BlockNode) -> bool:
    """Whether neither a format nor the protocol under it has anything to say of itself."""
    while node.file is not None and (node.driver == "raw" or node.is_filter):
        node = node.file
    return node.driver in ("nbd", "null-co", "null-aio")


def snapshot_info(snapshot: Snapshot) -> dict[str, Any]:
    """QEMU's SnapshotInfo."""
    seconds, nanoseconds = divmod(snapshot.vm_clock_nsec, _SECOND_NS)
    info: dict[str, Any] = {
        "id": snapshot.id,
        "name": snapshot.name,
        "vm-state-size": snapshot.vm_state_size,
        "date-sec": snapshot.date_sec,
        "date-nsec": snapshot.date_nsec,
        "vm-clock-sec": seconds,
        "vm-clock-nsec": nanoseconds,
    }
    if snapshot.icount is not None:
        info["icount"] = snapshot.icount
    return info


def _qcow2_info(image: Image) -> dict[str, Any]:
    """What only a qcow2 image has, in QEMU's order."""
    from blockdev.qcow2.header import CORRUPT, EXTENDED_L2, LAZY_REFCOUNTS, ZSTD

    header = image.header
    kind = "zstd" if image.compression_type == ZSTD else "zlib"
    if header.version < 3:
        return {"compat": "0.10", "compression-type": kind, "refcount-bits": 16}
    info = {
        "compat": "1.1",
        "compression-type": kind,
        "lazy-refcounts": bool(header.compatible_features & LAZY_REFCOUNTS),
    }
    bitmaps = image.bitmaps.listed()
    if bitmaps:
        info["bitmaps"] = [
            {"flags": bitmap.flag_names, "name": bitmap.name, "granularity": bitmap.granularity}
            for bitmap in bitmaps
        ]
    info["refcount-bits"] = 1 << header.refcount_order
    info["corrupt"] = bool(header.incompatible_features & CORRUPT)
    info["extended-l2"] = bool(header.incompatible_features & EXTENDED_L2)
    return info


def info_text(info: dict[str, Any], snapshots: str) -> str:
    """The lines about an image.

    Args:
        info: as `image_info` gives it.
        snapshots: the table of its snapshots; "" for none.
    """
    taken = info.get("actual-size")
    lines = [
        f"image: {info['filename']}",
        f"file format: {info['format']}",
        f"virtual size: {size_text(info['virtual-size'])} ({info['virtual-size']} bytes)",
        f"disk size: {'unavailable' if taken is None else size_text(taken)}",
    ]
    if "cluster-size" in info:
        lines.append(f"cluster_size: {info['cluster-size']}")
    if info.get("dirty-flag"):
        lines.append("cleanly shut down: no")
    if "backing-filename" in info:
        name, path = info["backing-filename"], info["full-backing-filename"]
        lines.append(f"backing file: {name}" + (f" (actual path: {path})" if path != name else ""))
        if "backing-filename-format" in info:
            lines.append(f"backing file format: {info['backing-filename-format']}")
    text = "\n".join(lines) + "\n" + snapshots
    if "format-specific" in info:
        text += "Format specific information:\n"
        text += "".join(_tree(info["format-specific"]["data"], "    "))
    return text


def _tree(values: dict[str, Any] | list[Any], indent: str) -> Iterator[str]:
    """Values in lines, what is inside others further to the right."""
    if isinstance(values, list):
        items = [(f"[{index}]", value) for index, value in enumerate(values)]
    else:
        items = [(key.replace("-", " "), value) for key, value in values.items()]
    for shown, value in items:
        if isinstance(value, dict | list):
            yield f"{indent}{shown}:\n"
            yield from _tree(value, indent + "    ")
        else:
            text = str(value).lower() if isinstance(value, bool) else value
            yield f"{indent}{shown}: {text}\n"


def image_text(node: BlockNode, *, filename: str = "") -> str:
    """An image in detail, as `qemu-img info` shows it."""
    info = image_info(node, filename=filename)
    return info_text(info, snapshot_list(node.snapshots()) if "snapshots" in info else "")
