"""Whose each cluster of an image is: the picture behind a map of it."""

from __future__ import annotations

from array import array

from blockdev.qcow2.entries import OFFSET_MASK
from blockdev.qcow2.header import l1_entries_for
from blockdev.qcow2.sharing import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.mapping import Mapping
    from blockdev.qcow2.metadata import Metadata

FREE, HEADER, REFCOUNTS, SNAPSHOT_TABLE, L1, L2 = b".HRSLT"
NOW, SNAPSHOTS, SHARED, STATE, LEAKED = b"ds=V!"

# Letters and what they stand for, tables first.
MEANINGS = {
    HEADER: "header",
    REFCOUNTS: "refcount table and blocks",
    SNAPSHOT_TABLE: "snapshot table",
    L1: "L1 tables",
    L2: "L2 tables",
    NOW: "data of now alone",
    SHARED: "data of now and of snapshots",
    SNAPSHOTS: "data of snapshots alone",
    STATE: "machine state",
    LEAKED: "counted, but nobody's",
    FREE: "free",
}
_TABLES = {
    "qcow2_header": HEADER,
    "active L1 table": L1,
    "inactive L1 table": L1,
    "refcount block": REFCOUNTS,
    "refcount table": REFCOUNTS,
    "snapshot table": SNAPSHOT_TABLE,
    "active L2 table": L2,
}
_NOW, _SNAPSHOTS, _STATE = 1, 2, 4
_WITH = {bit: bytes(value | bit for value in range(256)) for bit in (_NOW, _SNAPSHOTS, _STATE)}
_LETTERS = {
    _NOW: NOW,
    _SNAPSHOTS: SNAPSHOTS,
    _NOW | _SNAPSHOTS: SHARED,
}


def owners(image: Metadata) -> bytes:
    """A letter of `MEANINGS` for each cluster of the file, in order.

    Raises:
        QemuError: a table can't be read.
    """
    image.write_back()
    clusters = -(-image.file.size >> image.cluster_bits)
    flags = bytearray(clusters)
    letters = {}
    _mark(flags, image.active, _NOW)
    seen: dict[int, set[int]] = {_SNAPSHOTS: set(), _STATE: set()}
    for snapshot in image.snapshot_table.entries:
        l1 = image.snapshot_table.read_l1(snapshot)
        disk_entries = l1_entries_for(snapshot.disk_size, image.layout.span_bits)
        for part, bit in ((l1[:disk_entries], _SNAPSHOTS), (l1[disk_entries:], _STATE)):
            # Snapshots share most of their tables, and one look at each is enough.
            new = [entry if entry & OFFSET_MASK not in seen[bit] else 0 for entry in part]
            seen[bit] |= {entry & OFFSET_MASK for entry in part}
            if any(new):
                mapping = image.mapping(array("Q", new))
                _mark(flags, mapping, bit)
                letters.update(dict.fromkeys(_table_clusters(mapping, image), L2))
    for name, run in image.guard.tables():
        letters.update(dict.fromkeys(run, _TABLES[name]))
    picture = bytearray(flags.translate(_letter_of_flags()))
    for cluster, letter in letters.items():
        if cluster < clusters:
            picture[cluster] = letter
    _find_leaks(image, picture)
    return bytes(picture)


def _mark(flags: bytearray, mapping: Mapping, bit: int) -> None:
    for reference in references(mapping):
        for first, count in _runs(reference):
            flags[first : first + count] = flags[first : first + count].translate(_WITH[bit])


def _runs(reference: Reference) -> list[tuple[int, int]]:
    if isinstance(reference, tuple):
        return [reference]
    return [(cluster, 1) for cluster in reference]


def _table_clusters(mapping: Mapping, image: Metadata) -> list[int]:
    offsets = (entry & OFFSET_MASK for entry in mapping.l1)
    return [offset >> image.cluster_bits for offset in offsets if offset]


def _letter_of_flags() -> bytes:
    return bytes(
        STATE if flags & _STATE else _LETTERS.get(flags & (_NOW | _SNAPSHOTS), FREE)
        for flags in range(256)
    )


def _find_leaks(image: Metadata, picture: bytearray) -> None:
    """Mark what is counted though nothing refers to it."""
    place = picture.find(FREE)
    while place >= 0:
        end = place
        while end < len(picture) and picture[end] == FREE:
            end += 1
        if image.refcounts.common_count(place, end - place) != 0:
            for cluster in range(place, end):
                if image.refcounts.get(cluster):
                    picture[cluster] = LEAKED
        place = picture.find(FREE, end)
