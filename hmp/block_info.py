"""Words and tables about disks: ``info block``, images in detail, tables of snapshots."""

from __future__ import annotations

import math
import time

from blockdev.filter import skip_implicit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from blockdev.snapshot import Snapshot

_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
SNAPSHOT_HEADING = (
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\n"
)


def size_text(size: int) -> str:
    """A size with three digits that count: ``36.8 KiB``, ``0.977 MiB`` for 1000 KiB."""
    exponent = math.frexp(size * 1024 / 1000)[1]
    index = max(exponent - 1, 0) // 10
    return f"{size / (1 << 10 * index):.3g} {_UNITS[index]}B"


def snapshot_row(snapshot: Snapshot, *, id: str | None = None) -> str:
    """One line of a table of snapshots.

    Args:
        id: what to show as the ID; None for the snapshot's own.
    """
    seconds, nanoseconds = divmod(snapshot.vm_clock_nsec, 1_000_000_000)
    hours, rest = divmod(seconds, 3600)
    clock = f"{hours:02}:{rest // 60:02}:{rest % 60:02}.{nanoseconds // 1_000_000:03}"
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.date_sec))
    icount = "" if snapshot.icount is None else str(snapshot.icount)
    shown_id = _filled(snapshot.id if id is None else id, 9)
    tag = _filled(snapshot.name, 16)
    size = size_text(snapshot.vm_state_size)
    return f"{shown_id} {tag} {size:>8}{date:>20}{clock:>13}{icount:>11}\n"


def _filled(text: str, width: int) -> str:
    """Text with blanks up to a width that counts bytes, as C's printf does."""
    return text + " " * (width - len(text.encode("utf-8", "surrogateescape")))


def device_text(backend: Backend, *, verbose: bool) -> str:
    """What ``info block`` says of a drive."""
    medium = backend.node if backend.node is not None and backend.node.is_inserted else None
    node = skip_implicit(medium) if medium is not None else None
    if backend.name:
        shown = f"{backend.name} ({node.node_name})" if node is not None else backend.name
    elif node is not None:
        shown = node.node_name
    else:
        shown = backend.device or "<anonymous>"
    text = f"{shown}: {_medium(node)}\n"
    if backend.device:
        text += f"    Attached to:      {backend.device}\n"
    if backend.is_removable:
        locked = "locked" if backend.is_locked else "not locked"
        tray = "open" if backend.tray_open else "closed"
        text += f"    Removable device: {locked}, tray {tray}\n"
    if node is not None:
        text += _node_details(node, write_cache=backend.write_cache)
        if backend.throttle is not None and backend.throttle.is_limited:
            text += f"    I/O throttling:   {backend.throttle.describe()}\n"
        if verbose:
            text += _images(node)
    return text


def node_text(node: BlockNode, *, verbose: bool) -> str:
    """What ``info block -n`` says of a node."""
    text = f"{node.node_name}: {_medium(node)}\n" + _node_details(node, write_cache=True)
    return text + _images(node) if verbose else text


def _medium(node: BlockNode | None) -> str:
    if node is None:
        return "[not inserted]"
    return f"{node.filename} ({node.driver}{', read-only' if node.read_only else ''})"


def _node_details(node: BlockNode, *, write_cache: bool) -> str:
    mode = "writeback" if write_cache else "writethrough"
    mode += ", direct" if node.cache.direct else ""
    mode += ", ignore flushes" if node.cache.no_flush else ""
    text = f"    Cache mode:       {mode}\n"
    if node.backing is not None:
        depth = sum(1 for _ in _chain(node)) - 1
        text += f"    Backing file:     {node.backing.filename} (chain depth: {depth})\n"
    if node.detect_zeroes != "off":
        text += f"    Detect zeroes:    {node.detect_zeroes}\n"
    return text


def _chain(node: BlockNode | None) -> Iterator[BlockNode]:
    while node is not None:
        yield node
        node = node.file if node.is_filter else node.backing


def _images(node: BlockNode) -> str:
    from hmp.image_info import image_text

    images = (image for image in _chain(node) if not image.is_implicit)
    return "\nImages:\n" + "".join(map(image_text, images))


def snapshot_list(snapshots: Sequence[Snapshot]) -> str:
    """A whole table with its heading, as ``qemu-img snapshot -l`` prints it."""
    return "Snapshot list:\n" + SNAPSHOT_HEADING + "".join(map(snapshot_row, snapshots))


def blockstats_text(backend: Backend) -> str:
    """What ``info blockstats`` says of a drive."""
    s = backend.stats
    return (
        f"{backend.shown_name}: rd_bytes={s.rd_bytes} wr_bytes={s.wr_bytes} "
        f"rd_operations={s.rd_operations} wr_operations={s.wr_operations} "
        f"flush_operations={s.flush_operations} wr_total_time_ns={s.wr_total_ns} "
        f"rd_total_time_ns={s.rd_total_ns} flush_total_time_ns={s.flush_total_ns} "
        f"rd_merged=0 wr_merged=0 idle_time_ns={s.idle_ns(time.monotonic_ns())}\n"
    )
