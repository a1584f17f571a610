"""Puts a qcow2 image right again, as `qemu-img check -r` does.

Each step leaves the image no worse than it was if it is the last:

    counts that rise, or all counts anew in another place  |  counts that fall
    |  COPIED bits, which the counts in the file now bear out  |  the dirty and corrupt bits

where each bar is a barrier.  The bits that make the next one repair the image go last.
"""

from __future__ import annotations

import errno
import struct

from blockdev.errors import QemuError
from blockdev.qcow2.check import CheckResult
from blockdev.qcow2.slip import Slips
from blockdev.qcow2.survey import Survey
from blockdev.qcow2.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.node import BlockNode

_DIRTY_AND_CORRUPT = 0b11
_INCOMPATIBLE_OFFSET = 72
_REFCOUNT_TABLE_OFFSET = 48  # in the header: offset and cluster count, 12 bytes
_NAMED_END = 60  # where those end
_REFCOUNT_ORDER_OFFSET = 96
_MAX_TABLE_BYTES = 8 << 20
_SNAPSHOTS_OFFSET = 60  # in the header: count and offset, 12 bytes
_MENDED = ("is incomplete", "Preallocated cluster is not properly aligned; L2 entry corrupted.")
_MOST_ROUNDS = 4
_NEEDS_REBUILD = "ERROR need to rebuild refcount structures"


def repair(file: BlockNode, *, leaks: bool, errors: bool) -> CheckResult:
    """Repair an image that nobody else has open.

    Args:
        file: the node with the image's bytes.
        leaks: bring down counts that are too high.
        errors: bring up those that are too low, put COPIED bits right, and write the refcount
            structures anew where they themselves are damaged.

    Returns:
        What a check finds afterwards, with what was repaired before it.  Entries that point
        nowhere sensible stay as they are, as with `qemu-img`.

    Raises:
        QemuError: the image can't be checked, or written.
    """
    return _Repair(file, leaks=leaks, errors=errors).run()


def change_refcount_width(file: BlockNode, order: int) -> None:
    """Write all refcounts anew, in another width.

    Args:
        file: the node with the bytes of an image that is sound, as they are in the file.
        order: log2 of a count's width in bits.

    Raises:
        QemuError: a count doesn't fit, or the file can't be written.
    """
    rewriting = _Repair(file, leaks=True, errors=True, order=order)
    rewriting.rewrite()


class _Repair:
    def __init__(
        self, file: BlockNode, *, leaks: bool, errors: bool, order: int | None = None
    ) -> None:
        self._file = file
        self._leaks = leaks
        self._errors = errors
        self._leaks_fixed = self._corruptions_fixed = 0
        self._is_rebuilt = False
        self._left: list[int] = []  # clusters that the old refcount structures were in
        self._fixed_slips = Slips(0)
        self._survey = Survey(file)
        self._order = self._survey.refcount_order if order is None else order
        self._found = CheckResult(self._survey)
        self._before = self._found

    def rewrite(self) -> None:
        """Write all counts anew in the width that is wanted; the header's next write names it."""
        references, maximum = self._survey.references, (1 << (1 << self._order)) - 1
        for cluster in range(len(references)):
            if references.get(cluster) > maximum:
                offset = cluster << self._survey.cluster_bits
                raise QemuError(
                    f"Cannot decrease refcount entry width to {1 << self._order} bits: Cluster at "
                    f"offset {offset:#x} has a refcount of {references.get(cluster)}",
                    errno.EINVAL,
                )
        self._rebuild()
        self._file.flush()

    def run(self) -> CheckResult:
        if not self._errors and (self._survey.broken_refcounts or self._needs_blocks()):
            lines = [*self._found.findings(with_slips=False), _NEEDS_REBUILD]
            raise QemuError("\n".join(lines), errno.EIO)
        if self._errors and self._survey.misplaced:
            self._fix_misplaced()
        self._fix_counts()
        if self._errors and self._survey.incomplete_snapshots and self._fix_snapshots():
            self._fix_counts()
        if len(self._survey.slips):
            self._fix_copied()
        if not (self._found.corruption_count or self._found.unreadable):
            self._clear_bits()
        result = self._found
        result.leaks_fixed = self._leaks_fixed
        result.corruptions_fixed = self._corruptions_fixed
        result.repairs = self._lines()
        return result

    def _look_again(self) -> None:
        self._file.flush()
        self._survey = Survey(self._file)
        self._found = CheckResult(self._survey)

    def _lines(self) -> Iterator[str]:
        for line in self._before.findings(with_slips=False):
            if self._errors and line.endswith(_MENDED):
                line = line.replace("ERROR", "Repairing", 1)
            yield line
        if self._is_rebuilt:
            yield "Rebuilding refcount structure"
            for cluster in self._left:
                yield f"Repairing cluster {cluster} refcount=1 reference=0"
        else:
            for cluster, refcount, references in self._before.counts():
                if self._leaks if refcount > references else self._errors:
                    yield f"Repairing cluster {cluster} refcount={refcount} reference={references}"
        for slip in self._fixed_slips:
            yield f"Repairing {slip.text}"

    def _fix_misplaced(self) -> None:
        """Entries of clusters without data, at places where no cluster can be, lose the place."""
        for host_offset, entry in self._survey.misplaced:
            self._file.write(host_offset, [entry.to_bytes(8, "big")])
            self._corruptions_fixed += 1
        self._look_again()

    # --- counts

    def _fix_counts(self) -> None:
        # A file that grows may reach what was past its end, so one round need not be enough.
        for _ in range(_MOST_ROUNDS):
            low = self._found.low_count
            needs_rebuild = self._survey.broken_refcounts or self._needs_blocks()
            if self._errors and needs_rebuild:
                before, leaks = self._found.corruption_count, self._found.leak_count
                self._rebuild()
                self._is_rebuilt = True
                self._look_again()
                self._corruptions_fixed += max(0, before - self._found.corruption_count)
                self._leaks_fixed += max(0, leaks - self._found.leak_count)
            elif self._errors and low:
                self._change_counts(raise_them=True)
                self._corruptions_fixed += low
                self._look_again()
            elif self._leaks and self._found.leak_count and not self._survey.broken_refcounts:
                self._leaks_fixed += self._found.leak_count
                self._change_counts(raise_them=False)
                self._look_again()
            else:
                return

    @property
    def _counts_per_block(self) -> int:
        return self._survey.cluster_size * 8 >> self._order

    def _needs_blocks(self) -> bool:
        """Whether a cluster in use isn't counted at all, for want of a block or in one.

        As for QEMU, the counts as a whole can't be trusted then.
        """
        return any(refcount == 0 for _, refcount, _ in self._found.counts(leaks=False))

    def _change_counts(self, *, raise_them: bool) -> None:
        """Bring the counts that are too low up, or those too high down."""
        offsets = dict(self._survey.blocks)
        per_block, order = self._counts_per_block, self._survey.refcount_order
        size = self._survey.cluster_size
        counts, current = Tally(per_block), -1
        for cluster, _, references in self._found.counts(leaks=not raise_them):
            index, entry = divmod(cluster, per_block)
            if index != current:
                if current >= 0:
                    self._file.write(offsets[current], [counts.encode(size, order, 0)])
                counts, current = Tally(per_block), index
                counts.decode(self._file.read(offsets[index], size), order, 0)
            counts.set(entry, references)
        if current >= 0:
            self._file.write(offsets[current], [counts.encode(size, order, 0)])

    def _rebuild(self) -> None:
        """Write a new refcount table and blocks, where nothing is, and switch to them."""
        survey = self._survey
        counts = Tally(len(survey.references))
        counts.small[:] = survey.references.small
        counts.large = dict(survey.references.large)
        taken = bytes(counts.small)
        for first, count in survey.refcount_runs:
            for cluster in range(first, first + count):
                counts.set(cluster, counts.get(cluster) - 1)
                if not counts.get(cluster):
                    self._left.append(cluster)
        self._left.sort()
        place, indexes, table_clusters = self._plan(counts, taken)
        wanted = table_clusters + len(indexes)
        counts.extend(place + wanted)
        counts.add(place, wanted)
        cluster_size, bits = survey.cluster_size, survey.cluster_bits
        table = bytearray(table_clusters << bits)
        for number, index in enumerate(indexes):
            offset = place + table_clusters + number << bits
            struct.pack_into(">Q", table, 8 * index, offset)
            first = index * self._counts_per_block
            block = counts.encode(cluster_size, self._order, first)
            self._file.write(offset, [block])
        self._file.write(place << bits, [table])
        self._file.flush()
        # Place and width change in one write inside the first sector.
        end = _REFCOUNT_ORDER_OFFSET if self._order != survey.refcount_order else _NAMED_END
        old = self._file.read(_NAMED_END, end - _NAMED_END)
        named = struct.pack(">QI", place << bits, table_clusters) + old
        if end != _NAMED_END:
            named += struct.pack(">I", self._order)
        self._file.write(_REFCOUNT_TABLE_OFFSET, [named])

    def _plan(self, counts: Tally, taken: bytes) -> tuple[int, list[int], int]:
        """Where the new refcount structures go.

        Returns:
            The first cluster; the indexes of the blocks that are needed; clusters of the table,
            which comes first.
        """
        per_block, size = self._counts_per_block, self._survey.cluster_size
        used = {
            index
            for index in range(-(-len(counts) // per_block))
            if counts.small.count(0, index * per_block, (index + 1) * per_block)
            < len(counts.small[index * per_block : (index + 1) * per_block])
        }
        wanted = 1 + len(used)
        while True:
            place = self._find_room(taken, wanted)
            own = range(place // per_block, (place + wanted - 1) // per_block + 1)
            indexes = sorted(used | set(own))
            table_clusters = -(-8 * (indexes[-1] + 1) // size)
            if table_clusters * size > _MAX_TABLE_BYTES:
                raise QemuError(_NEEDS_REBUILD, errno.EIO)
            if table_clusters + len(indexes) <= wanted:
                return place, indexes, table_clusters
            wanted = table_clusters + len(indexes)

    def _find_room(self, taken: bytes, wanted: int) -> int:
        """A run of clusters that nothing refers to, not even from past the end of the file."""
        found = taken.find(bytes(wanted))
        if found >= 0:
            return found
        place, bits = len(taken), self._survey.cluster_bits
        for offset, size in sorted(self._survey.beyond):
            first, end = offset >> bits, (offset + size - 1 >> bits) + 1
            if first < place + wanted and end > place:
                place = end
        return place

    # --- the snapshot table

    def _fix_snapshots(self) -> bool:
        """Write a snapshot table whose entries are complete, and switch to it.

        Returns:
            Whether it was done: not where no refcount block counts a free place.
        """
        survey = self._survey
        table = b"".join(snapshot.completed(survey.size) for snapshot in survey.snapshots)
        wanted = -(-len(table) >> survey.cluster_bits)
        stored, references = survey.counts.tally.small, survey.references.small
        taken = bytes(a | b for a, b in zip(stored, references, strict=True))
        place = self._find_room(taken, wanted)
        new, old = range(place, place + wanted), self._snapshot_table_clusters()
        if not self._set_counts(dict.fromkeys(new, 1)):
            return False
        self._file.write(place << survey.cluster_bits, [table])
        self._file.flush()
        switch = struct.pack(">IQ", survey.nb_snapshots, place << survey.cluster_bits)
        self._file.write(_SNAPSHOTS_OFFSET, [switch])
        self._file.flush()
        self._set_counts({cluster: survey.references.get(cluster) - 1 for cluster in old})
        self._corruptions_fixed += survey.incomplete_snapshots
        self._look_again()
        return True

    def _snapshot_table_clusters(self) -> range:
        survey = self._survey
        first = survey.snapshots_offset >> survey.cluster_bits
        end = survey.snapshots_offset + survey.snapshot_table_size
        return range(first, min(-(-end >> survey.cluster_bits), len(survey.references)))

    def _set_counts(self, wanted: dict[int, int]) -> bool:
        """Store the counts of some clusters; False and nothing done where one has no block."""
        survey, per_block = self._survey, self._counts_per_block
        offsets = dict(survey.blocks)
        if any(cluster // per_block not in offsets for cluster in wanted):
            return False
        for index in sorted({cluster // per_block for cluster in wanted}):
            counts = Tally(per_block)
            block = self._file.read(offsets[index], survey.cluster_size)
            counts.decode(block, survey.refcount_order, 0)
            for cluster, count in wanted.items():
                if cluster // per_block == index:
                    counts.set(cluster % per_block, count)
            block = counts.encode(survey.cluster_size, survey.refcount_order, 0)
            self._file.write(offsets[index], [block])
        return True

    # --- marks

    def _fix_copied(self) -> None:
        """Make COPIED bits say what the counts in the file say."""
        if not self._errors:
            # As QEMU: without leave to mend errors, only where nothing else is the matter.
            others = self._found.corruption_count - len(self._survey.slips)
            if others or self._found.leak_count or self._found.unreadable:
                return
        for slip in self._survey.slips:
            self._file.write(slip.host_offset, [slip.corrected.to_bytes(8, "big")])
        self._fixed_slips = self._survey.slips
        self._corruptions_fixed += len(self._fixed_slips)
        self._look_again()

    def _clear_bits(self) -> None:
        survey = self._survey
        if survey.incompatible & _DIRTY_AND_CORRUPT:
            self._file.flush()
            features = survey.incompatible & ~_DIRTY_AND_CORRUPT
            self._file.write(_INCOMPATIBLE_OFFSET, [features.to_bytes(8, "big")])
            self._file.flush()
