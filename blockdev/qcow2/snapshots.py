"""The snapshot table, and making, going back to and deleting snapshots.

Each operation builds what is new beside what is old, and one write to the header inside one
sector switches over.  A crash leaves the state before or the state after, and at worst clusters
that nobody uses.
Source: qcow2 specification, "Snapshots".
"""

from __future__ import annotations

import errno
import os
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.entries import COPIED
from blockdev.qcow2.header import (
    MAX_L1_BYTES,
    MAX_SNAPSHOT_TABLE_BYTES,
    MAX_SNAPSHOTS,
    l1_entries_for,
)
from blockdev.qcow2.sharing import references
from blockdev.qcow2.words import big_endian, from_big_endian
from blockdev.snapshot import Snapshot, find_by_id_and_name, find_to_go_to
from blockdev.wire import Record, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.mapping import Mapping
    from blockdev.qcow2.metadata import Metadata

_MAX_EXTRA = 1024  # bytes of extra data in an entry
_NO_ICOUNT = (1 << 64) - 1
_MAX_NUMBER = (1 << 64) - 1  # of an id
_MAX_STRING = 0xFFFF  # bytes of an id or a name
_WINDOW_BYTES = 64 << 10  # of a table at once


class SnapshotHeader(Record):
    """Fixed part of one snapshot table entry.  Source: qcow2 specification, "Snapshots"."""

    l1_table_offset: int = wire("u64")  # host offset, bytes
    l1_size: int = wire("u32")  # entries, not bytes
    id_str_size: int = wire("u16")
    name_size: int = wire("u16")
    date_sec: int = wire("u32")
    date_nsec: int = wire("u32")
    vm_clock_nsec: int = wire("u64")
    vm_state_size: int = wire("u32")
    extra_data_size: int = wire("u32")


class SnapshotExtra(Record):
    """The extra data that QEMU 7.2 writes; more may follow, and is kept."""

    vm_state_size_large: int = wire("u64")
    disk_size: int = wire("u64")
    icount: int = wire("u64", default=_NO_ICOUNT)


class SnapshotEntry(Snapshot):
    """A snapshot as the table has it: also where its L1 table lies, and unknown extra data."""

    __slots__ = ("l1_size", "l1_table_offset", "unknown_extra")

    l1_table_offset: int
    l1_size: int
    unknown_extra: bytes

    @classmethod
    def of(cls, snapshot: Snapshot, l1_table_offset: int, l1_size: int) -> SnapshotEntry:
        """The entry for a snapshot whose L1 table is at `l1_table_offset`."""
        values = {name: getattr(snapshot, name) for name in Snapshot.__slots__}
        entry = cls(**values)
        entry.l1_table_offset, entry.l1_size = l1_table_offset, l1_size
        entry.unknown_extra = b""
        return entry


def unpack_table(
    read: Callable[[int, int], bytes], count: int, disk_size: int
) -> tuple[list[SnapshotEntry], int]:
    """Read a snapshot table.

    Args:
        read: gives bytes of the table by offset and size.
        count: entries there are.
        disk_size: what an entry without a disk size of its own stands for.

    Returns:
        The entries, and the bytes that the table takes in the file.

    Raises:
        QemuError: an entry, or the table, is larger than the format allows.
    """
    entries: list[SnapshotEntry] = []
    table = _Window(read)
    offset = 0
    for index in range(count):
        fixed = SnapshotHeader.values(table.get(offset, SnapshotHeader.SIZE))
        l1_table_offset, l1_size, id_size, name_size, date_sec, date_nsec = fixed[:6]
        vm_clock_nsec, vm_state_size, extra_size = fixed[6:]
        if extra_size > _MAX_EXTRA:
            raise QemuError(
                f"Too much extra metadata in snapshot table entry {index}\n"
                "You can force-remove this extra metadata with qemu-img check -r all",
                errno.EINVAL,
            )
        length = extra_size + id_size + name_size
        rest = table.get(offset + SnapshotHeader.SIZE, length)
        extra, strings = rest[:extra_size], rest[extra_size:]
        known = _unpack_extra(extra, vm_state_size, disk_size)
        entry = SnapshotEntry(
            id=_text(strings[:id_size]),
            name=_text(strings[id_size:]),
            date_sec=date_sec,
            date_nsec=date_nsec,
            vm_clock_nsec=vm_clock_nsec,
            vm_state_size=known[0],
            # qemu-img leaves 0 here, the machine all ones for "not counted".
            icount=None if known[2] == _NO_ICOUNT else known[2],
            disk_size=known[1],
        )
        entry.l1_table_offset, entry.l1_size = l1_table_offset, l1_size
        entry.unknown_extra = extra[SnapshotExtra.SIZE :]
        entries.append(entry)
        offset += _padded(SnapshotHeader.SIZE + length)
        if offset > MAX_SNAPSHOT_TABLE_BYTES:
            raise QemuError("Snapshot table is too big", errno.EFBIG)
    return entries, offset


class _Window:
    """Looks at a file through one read for many small pieces that follow each other."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._start = 0
        self._data = b""

    def get(self, offset: int, size: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            self._start, at = offset, 0
            self._data = self._read(offset, max(size, _WINDOW_BYTES))
        return self._data[at : at + size]


def _unpack_extra(extra: bytes, vm_state_size: int, disk_size: int) -> tuple[int, ...]:
    """State size, disk size and icount; each may be missing, and has its meaning then."""
    if len(extra) >= SnapshotExtra.SIZE:
        return SnapshotExtra.values(extra)
    large = int.from_bytes(extra[:8], "big") if len(extra) >= 8 else vm_state_size
    disk = int.from_bytes(extra[8:16], "big") if len(extra) >= 16 else disk_size
    return large, disk, _NO_ICOUNT


def pack_table(entries: list[SnapshotEntry]) -> bytes:
    """The table's bytes.

    Raises:
        QemuError: it would be larger than QEMU reads, or a name longer than the format has room.
    """
    pieces: list[bytes] = []
    for entry in entries:
        id_str, name = _bytes(entry.id), _bytes(entry.name)
        if len(name) > _MAX_STRING:
            raise QemuError("File name too long", errno.ENAMETOOLONG)
        state_size = entry.vm_state_size
        icount = _NO_ICOUNT if entry.icount is None else entry.icount
        extra = SnapshotExtra.pack_values(state_size, entry.disk_size, icount) + entry.unknown_extra
        fixed = SnapshotHeader.pack_values(
            entry.l1_table_offset,
            entry.l1_size,
            len(id_str),
            len(name),
            entry.date_sec & 0xFFFFFFFF,
            entry.date_nsec,
            entry.vm_clock_nsec,
            state_size if state_size <= 0xFFFFFFFF else 0,
            len(extra),
        )
        piece = fixed + extra + id_str + name
        pieces.append(piece.ljust(_padded(len(piece)), b"\0"))
    table = b"".join(pieces)
    if len(table) > MAX_SNAPSHOT_TABLE_BYTES:
        raise QemuError("Snapshot table is too big", errno.EFBIG)
    return table


def _padded(length: int) -> int:
    return -(-length // 8) * 8


def _text(data: bytes) -> str:
    # To QEMU it is a C string.
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class SnapshotTable:
    """The snapshots of an image; `image` gives the file, the clusters and the write order."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        header = metadata.header

        def read(offset: int, size: int) -> bytes:
            return metadata.file.read(header.snapshots_offset + offset, size)

        self.entries, self.size = unpack_table(read, header.nb_snapshots, header.size)

    def create(self, snapshot: Snapshot, vmstate: Mapping | None) -> None:
        """Make a snapshot of the active disk; the machine state becomes part of it.

        Order: references counted, the snapshot's L1 and the new table written, the active
        tables marked as shared | the header names the new table | the old table is freed.
        The marks must be on the disk before the header: with the snapshot in the table and a
        mark left, the next write would change the snapshot too.
        """
        if len(self.entries) >= MAX_SNAPSHOTS:
            raise QemuError("File too large", errno.EFBIG)
        metadata = self._metadata
        metadata.write_back()
        active = metadata.active
        disk_entries = l1_entries_for(metadata.size, metadata.layout.span_bits)
        largest = max((_number(entry.id) for entry in self.entries), default=0)
        snapshot.id = str((largest + 1) & _MAX_NUMBER)
        snapshot.disk_size = metadata.size
        if vmstate is not None:
            # State that a goto left in the active table gives way to the new one.
            metadata.drop_entries_past(disk_entries)
        runs: list[Reference] = []
        try:
            metadata.count_up(references(active, sharing=True), runs)
            l1 = active.l1[:]
            if vmstate is not None:
                l1 = l1[:disk_entries]
                l1.extend(entry & ~COPIED for entry in vmstate.l1)
            l1_offset = metadata.allocate_bytes(8 * len(l1), runs)
            metadata.file.write(l1_offset, [big_endian(l1)])
            entry = SnapshotEntry.of(snapshot, l1_offset, len(l1))
            self._switch([*self.entries, entry], runs)
        except QemuError as error:
            metadata.give_back(runs, error)
            metadata.marks_are_stale = True
            raise
        if vmstate is not None:
            metadata.tables.now_reachable(vmstate.l1)

    def delete(self, id: str, name: str) -> None:
        """Take a snapshot out of the table, then free what only it used.

        Order: the new table | the header names it | references counted down; marks set where
        one reference is left, which is true from the header's write on.
        """
        metadata = self._metadata
        entry = find_by_id_and_name(self.entries, id, name)
        if not isinstance(entry, SnapshotEntry):
            raise QemuError("snapshot not found", errno.ENOENT)
        l1 = self._read_l1(entry)
        metadata.write_back()
        freed = list(references(metadata.mapping(l1)))
        runs: list[Reference] = []
        try:
            self._switch([kept for kept in self.entries if kept is not entry], runs)
        except QemuError as error:
            metadata.give_back(runs, error)
            text = f"Failed to remove snapshot from snapshot list: {error}"
            raise QemuError(text, error.errno_value) from error
        for reference in freed:
            metadata.allocator.free_later(reference)
        metadata.free_bytes_later(entry.l1_table_offset, 8 * entry.l1_size)
        metadata.marks_are_stale = True

    def goto(self, id_or_name: str) -> SnapshotEntry:
        """Make the active disk what it was, at the size it had.

        Unlike QEMU, whose way can be cut short between two writes, the active L1 table isn't
        written over.  Order: references counted up, a new L1 table with nothing marked as ours |
        the header names it | what the old one referred to is counted down, marks are set.
        """
        metadata = self._metadata
        entry = find_to_go_to(self.entries, id_or_name)
        if not isinstance(entry, SnapshotEntry):
            raise _goto_error(errno.ENOENT)
        try:
            stored = self._read_l1(entry)
        except QemuError as error:
            metadata.report(str(error))
            raise _goto_error(error.errno_value) from error
        metadata.write_back()
        old = list(references(metadata.active))
        needed = l1_entries_for(entry.disk_size, metadata.layout.span_bits)
        if 8 * needed > MAX_L1_BYTES:
            raise _goto_error(errno.EFBIG)
        # The machine state comes along past the disk's end, as after QEMU's own goto.
        l1 = array("Q", [e & ~COPIED for e in stored])
        l1.extend([0] * (needed - len(l1)))
        mapping = metadata.mapping(l1)
        runs: list[Reference] = []
        try:
            metadata.count_up(references(mapping, sharing=True), runs)
            offset = metadata.allocate_bytes(8 * len(l1), runs)
            metadata.file.write(offset, [big_endian(l1)])
            metadata.switch_l1(mapping, offset, entry.disk_size)
        except QemuError as error:
            metadata.give_back(runs, error)
            raise _goto_error(error.errno_value) from error
        for reference in old:
            metadata.allocator.free_later(reference)
        metadata.marks_are_stale = True
        return entry

    def read_l1(self, snapshot: Snapshot) -> array[int]:
        """The L1 table of one of our snapshots."""
        if not isinstance(snapshot, SnapshotEntry):
            raise QemuError("snapshot not found", errno.ENOENT)
        return self._read_l1(snapshot)

    def _read_l1(self, entry: SnapshotEntry) -> array[int]:
        if entry.l1_size > MAX_L1_BYTES // 8:
            raise QemuError("Snapshot L1 table too large", errno.EFBIG)
        if entry.l1_table_offset & (self._metadata.cluster_size - 1) or entry.l1_table_offset >> 63:
            raise QemuError("Snapshot L1 table offset invalid", errno.EINVAL)
        data = self._metadata.file.read(entry.l1_table_offset, 8 * entry.l1_size)
        return from_big_endian("Q", data)

    def _switch(self, entries: list[SnapshotEntry], runs: list[Reference]) -> None:
        """Write a complete new table and let the header name it; the old one is freed later."""
        metadata = self._metadata
        table = pack_table(entries)
        offset = metadata.allocate_bytes(len(table), runs)
        metadata.file.write(offset, [table])
        old_offset, old_bytes = metadata.header.snapshots_offset, self.size
        metadata.switch_header(
            "nb_snapshots",
            "snapshots_offset",
            nb_snapshots=len(entries),
            snapshots_offset=offset,
        )
        metadata.free_bytes_later(old_offset, old_bytes)
        self.entries, self.size = entries, len(table)


def _goto_error(errno_value: int) -> QemuError:
    text = f"Failed to load snapshot: {os.strerror(errno_value or errno.EIO)}"
    return QemuError(text, errno_value or errno.EIO)


def _number(id: str) -> int:
    """The number that an id begins with, as C's ``strtoul`` reads it."""
    if id.isascii() and id.isdigit() and len(id) < 19:
        return int(id)
    text = id.lstrip(" \t\n\v\f\r")
    digits = text[1:] if text[:1] in ("+", "-") else text
    length = len(digits) - len(digits.lstrip("0123456789"))
    # More digits than this are too many, but for zeros before them.
    number = min(int(digits[:length].lstrip("0")[:21] or "0"), _MAX_NUMBER)
    return -number & _MAX_NUMBER if text[:1] == "-" and number < _MAX_NUMBER else number
