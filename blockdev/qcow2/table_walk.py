"""Reads one L2 table for a `Survey`: counts what it refers to, notes what is wrong in it.

A table that maps one run of clusters is counted at once.  The entries of others are looked at by
the piece: one that maps a run of clusters, as most do, is recognised by comparing it with the one
such piece that begins as it does, and counted at once too.

Source: qcow2 specification, "Cluster mapping"; the words are those of `qemu-img check`.
"""

from __future__ import annotations

import sys
from array import array

from blockdev.qcow2.slip import Slips

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.survey import Survey

_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_ZERO = 1
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_RESERVED = 0x3F000000000001FE
_ALL_ALLOCATED = 0xFFFFFFFF  # in an extended entry's bitmap: zero bits above, allocated below

_PIECE = 64
_EMPTY = bytes(8 * _PIECE)
_STEPS = int.from_bytes(b"".join(n.to_bytes(8, "big") for n in range(_PIECE)), "big")
_ONES = int.from_bytes((b"\0" * 7 + b"\1") * _PIECE, "big")


def from_big_endian(data: bytes) -> array[int]:
    """64-bit entries as numbers."""
    entries = array("Q", data)
    if sys.byteorder == "little":
        entries.byteswap()
    return entries


class TableWalk:
    """One reading of one L2 table.

    Args:
        survey: gives the image's geometry and stored counts, and counts the references.
        host_offset: where the table stands, bytes.
        weight: how many L1 entries lead to it.
        active: whether the active L1 table does, so that COPIED bits must be true.

    Attributes:
        corruptions: what is wrong, a line each.
        slips: entries with a wrong COPIED bit.
        misplaced: unaligned entries that hold no data: host offset, and what to put there.
        allocated, compressed, fragmented: clusters.
    """

    __slots__ = (
        "_active",
        "_bitmaps",
        "_bits",
        "_host_offset",
        "_next",
        "_survey",
        "_weight",
        "allocated",
        "compressed",
        "corruptions",
        "fragmented",
        "misplaced",
        "slips",
    )

    def __init__(self, survey: Survey, host_offset: int, *, weight: int, active: bool) -> None:
        self._survey = survey
        self._bits = survey.cluster_bits
        self._host_offset = host_offset
        self._weight = weight
        self._active = active
        self._next = 0  # where the next cluster must be, not to be a fragment
        self._bitmaps: array[int] | None = None
        self.corruptions: list[str] = []
        self.slips = Slips(survey.cluster_bits)
        self.misplaced: list[tuple[int, int]] = []
        self.allocated = self.compressed = self.fragmented = 0
        if host_offset >= survey.file_size:
            return  # zeros
        raw = survey.read(host_offset, 1 << self._bits)
        if survey.has_extended_entries:
            words = array("Q", raw)
            raw = words[0::2].tobytes()
            self._bitmaps = from_big_endian(words[1::2].tobytes())
        self._walk(raw)
        self._bitmaps = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong in the table."""
        return not (self.corruptions or self.slips)

    def _walk(self, raw: bytes) -> None:
        if self._has_no_bitmaps(0, len(raw) // 8):
            raw = raw[: -(-len(raw.rstrip(b"\0")) // len(_EMPTY)) * len(_EMPTY)]
        _, length = self._survey.columns.run(raw) if raw else (0, 0)
        if (
            length
            and self._has_no_bitmaps(length, len(raw) // 8 - length)
            and self._count_run(0, int.from_bytes(raw[:8], "big"), length)
        ):
            return
        steps = _STEPS << self._bits
        for start in range(0, len(raw), len(_EMPTY)):
            piece = raw[start : start + len(_EMPTY)]
            index = start // 8
            if piece == _EMPTY and self._has_no_bitmaps(index, _PIECE):
                continue
            first = int.from_bytes(piece[:8], "big")
            # A carry out of the first entry, which only a damaged one has, needs the byte.
            straight = (steps + first * _ONES).to_bytes(len(_EMPTY) + 1, "big")
            if straight[1:] != piece or not self._count_run(index, first, _PIECE):
                self._walk_entries(index, piece)

    def _has_no_bitmaps(self, index: int, count: int) -> bool:
        """Whether so many entries from there on have no bits for subclusters."""
        return self._bitmaps is None or not any(self._bitmaps[index : index + count])

    def _count_run(self, index: int, first: int, count: int) -> bool:
        """Count some clusters in a row; False if they need a closer look.

        Args:
            index: of the first entry.
            first: that entry.
            count: how many there are.
        """
        offset = first & _OFFSET_MASK
        cluster = offset >> self._bits
        survey = self._survey
        if (
            not offset
            or first & (_COMPRESSED | _RESERVED)
            or offset & (survey.cluster_size - 1)
            or offset + (count << self._bits) > survey.file_size
            or survey.has_external_data
        ):
            return False
        bitmaps = self._bitmaps
        if bitmaps is not None and (
            first & _ZERO or bitmaps[index : index + count].count(_ALL_ALLOCATED) != count
        ):
            return False
        if self._active:
            alone = survey.counts.tally.small.count(1, cluster, cluster + count)
            if alone != (count if first & _COPIED else 0):
                return False
        survey.refer(offset, count << self._bits, self.corruptions, self._weight)
        self.allocated += count
        if self._next not in (0, offset):
            self.fragmented += 1
        self._next = offset + (count << self._bits)
        return True

    def _walk_entries(self, index: int, piece: bytes) -> None:
        survey = self._survey
        bits, size = self._bits, survey.cluster_size
        plain = self._bitmaps is None and self._weight == 1 and not survey.has_external_data
        counts, stored = survey.references.small, survey.counts.tally.small
        whole_clusters = survey.file_size >> bits
        most = min(survey.maximum, 254)
        unusual = _COMPRESSED | _RESERVED | size - 1 & ~511
        for number, entry in enumerate(from_big_endian(piece), index):
            if not entry and (self._bitmaps is None or not self._bitmaps[number]):
                continue
            offset = entry & _OFFSET_MASK
            cluster = offset >> bits
            if (
                plain
                and offset
                and not entry & unusual
                and cluster < whole_clusters
                and counts[cluster] < most
            ):
                counts[cluster] += 1
                self.allocated += 1
                if offset != self._next:
                    self.fragmented += self._next != 0
                self._next = offset + size
            elif entry & _COMPRESSED:
                self._walk_compressed(number, entry)
                continue
            else:
                self._walk_unusual(number, entry, offset)
                if not offset or survey.has_external_data:
                    continue
            if self._active:
                inside = cluster < whole_clusters
                refcount = stored[cluster] if inside else survey.counts.get(cluster)
                if (refcount == 1) != entry >> 63:
                    self._note_slip(number, entry, cluster)

    def _note_slip(self, number: int, entry: int, cluster: int) -> None:
        refcount = self._survey.counts.get(cluster)
        if refcount is not None:
            place = self._host_offset + number * self._survey.entry_size
            self.slips.append(None, place, entry, refcount)

    def _walk_compressed(self, number: int, entry: int) -> None:
        say = self.corruptions.append
        shift = 62 - (self._bits - 8)
        offset = entry & (1 << shift) - 1
        sectors = (entry >> shift & (1 << self._bits - 8) - 1) + 1
        if entry & _COPIED:
            say(
                f"ERROR: coffset={offset:#x}: copied flag must never be set for compressed clusters"
            )
            entry &= ~_COPIED
        if self._survey.has_external_data:
            say(f"ERROR compressed cluster {number} with data file, entry={entry:#x}")
            return
        if self._bitmaps is not None and self._bitmaps[number]:
            say(
                f"ERROR compressed cluster {number} with non-zero subcluster allocation bitmap, "
                f"entry={entry:#x}"
            )
            return
        self._survey.refer(offset, sectors * 512 - offset % 512, self.corruptions, self._weight)
        self.allocated += 1
        self.compressed += 1
        self.fragmented += 1  # compressed clusters are in pieces by their nature

    def _walk_unusual(self, number: int, entry: int, offset: int) -> None:
        """An entry with something to say besides one whole cluster of the file."""
        say = self.corruptions.append
        survey = self._survey
        if entry & _RESERVED:
            say(f"ERROR found l2 entry with reserved bits set: {entry:x}")
        bitmap = self._bitmaps[number] if self._bitmaps is not None else None
        if bitmap is not None and offset and bitmap >> 32 & bitmap:
            say(
                f"ERROR offset={offset:x}: Allocated cluster has corrupted subcluster allocation "
                "bitmap"
            )
        if not offset:
            if bitmap is not None and bitmap & _ALL_ALLOCATED:
                say("ERROR: Unallocated cluster has non-zero subcluster allocation map")
            return
        if offset & (survey.cluster_size - 1):
            holds_data = not entry & _ZERO if bitmap is None else bitmap & _ALL_ALLOCATED != 0
            if holds_data:
                say(
                    f"ERROR offset={offset:x}: Data cluster is not properly aligned; "
                    "L2 entry corrupted."
                )
            else:
                say(
                    f"ERROR offset={offset:x}: Preallocated cluster is not properly aligned; "
                    "L2 entry corrupted."
                )
                place = self._host_offset + number * survey.entry_size
                self.misplaced.append((place, _ZERO if bitmap is None else 0))
        self.allocated += 1
        if offset != self._next:
            self.fragmented += self._next != 0
        self._next = offset + survey.cluster_size
        if not survey.has_external_data:
            survey.refer(offset, survey.cluster_size, self.corruptions, self._weight)
