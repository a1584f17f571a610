"""How many references each cluster of the file has, and which have none.

Counts change in memory; `write` brings them to the file.  Who may change them when is the
business of the image's write order (see `blockdev.qcow2.metadata`), not of this module.
Source: qcow2 specification, "Reference counting".
"""

from __future__ import annotations

import errno
import sys
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.refcount_table import RefcountTable
from blockdev.qcow2.words import RefcountWidth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.node import BlockNode

_BULK = 16  # from so many counts on, one addition of a large number is quicker
_IS_LITTLE = sys.byteorder == "little"


class Refcounts:
    """The reference counts of an image.

    Args:
        file: the protocol node.
        cluster_bits: log2 of the cluster size.
        refcount_order: log2 of a count's bits.
        table_offset, table_clusters: where the refcount table lies.
        report_corruption: told in QEMU's words of a block that lies where none can.
        switch_table: lets the header name another table, behind a barrier (offset, clusters).
        note_tables: told of a run of clusters, first and count, that holds new blocks or a table.
    """

    def __init__(
        self,
        file: BlockNode,
        *,
        cluster_bits: int,
        refcount_order: int,
        table_offset: int,
        table_clusters: int,
        report_corruption: Callable[[str], None],
        switch_table: Callable[[int, int], None],
        note_tables: Callable[[int, int], None],
    ) -> None:
        self._file = file
        self._cluster_bits = cluster_bits
        self._width = RefcountWidth(refcount_order)
        self._table = RefcountTable(
            file,
            cluster_bits=cluster_bits,
            width=self._width,
            offset=table_offset,
            clusters=table_clusters,
            report_corruption=report_corruption,
            switch=switch_table,
        )
        self._block = self._table.block
        self._block_entries = self._table.block_entries
        self._note_tables = note_tables
        self._ones: dict[int, int] = {}  # by how many counts, a number with 1 in each
        self._hint = 0  # no free cluster below this one

    @property
    def maximum(self) -> int:
        """The largest count there can be."""
        return self._width.maximum

    def get(self, cluster: int) -> int:
        """The count of the cluster with this number; 0 where no block says anything."""
        block = self._block(cluster // self._block_entries)
        return block[cluster % self._block_entries] if block is not None else 0

    def counts(self, clusters: list[int]) -> list[int]:
        """The count of each cluster."""
        if not clusters:
            return []
        entries = self._block_entries
        index = clusters[0] // entries
        block = self._block(index)
        low, high = index * entries, (index + 1) * entries
        if block is not None and low <= min(clusters) and max(clusters) < high:
            return [block[cluster - low] for cluster in clusters]
        return [self.get(cluster) for cluster in clusters]

    def used(self, clusters: int) -> int:
        """How many of the first so many clusters have a count."""
        entries, total = self._block_entries, 0
        for index in range(-(-clusters // entries)):
            block = self._block(index)
            if block is not None:
                part = block[: clusters - index * entries]
                total += len(part) - part.count(0)
        return total

    def common_count(self, first: int, count: int) -> int | None:
        """The count that all clusters of a run have; None if they differ."""
        common = self.get(first)
        while count:
            index, entry = divmod(first, self._block_entries)
            block = self._block(index)
            here = min(count, self._block_entries - entry)
            if block is None:
                return None
            part = block[entry : entry + here]
            if part != array(part.typecode, [common]) * here:
                return None
            first += here
            count -= here
        return common

    def add(self, first: int, count: int, change: int) -> None:
        """Change the counts of `count` clusters by 1 or -1; all or none.

        Raises:
            QemuError: a count would leave 0 to `maximum`, or a block is missing or damaged.
        """
        done = 0
        try:
            while done < count:
                done += self._add_in_block(first + done, count - done, change)
        except QemuError:
            self.add(first, done, -change)
            raise

    def _add_in_block(self, first: int, count: int, change: int) -> int:
        """Change as many of the counts as stand in one block; how many those are."""
        index, entry = divmod(first, self._block_entries)
        block = self._block(index)
        if block is None:
            raise QemuError(f"No refcount block for cluster {first}", errno.EIO)
        here = min(count, self._block_entries - entry)
        if here < _BULK:
            self._check(block, entry, here, change)
            for n in range(entry, entry + here):
                block[n] += change
        else:
            self._add_bulk(block, entry, here, change)
        self._table.mark_changed(index, entry, entry + here)
        if change < 0:
            self._hint = min(self._hint, first)
        return here

    def _check(self, block: array[int], entry: int, count: int, change: int) -> None:
        limit = self._width.maximum if change > 0 else 0
        if limit in block[entry : entry + count]:
            what = "full" if change > 0 else "0 already"
            raise QemuError(f"A reference count is {what}", errno.EINVAL)

    def _add_bulk(self, block: array[int], entry: int, count: int, change: int) -> None:
        """All at once where they are the same, as they mostly are.

        Otherwise one addition of large numbers: no count carries into the next, as none is at
        its limit.
        """
        part = block[entry : entry + count]
        if part == array(part.typecode, part[:1]) * count:
            self._check(block, entry, 1, change)
            block[entry : entry + count] = array(part.typecode, [part[0] + change]) * count
            return
        data = part.tobytes()
        limit = self._width.limit_bytes(change)
        if data.find(limit) >= 0:  # perhaps across two counts only
            self._check(block, entry, count, change)
        ones = self._ones.get(count)
        if ones is None:
            one = (b"\1" + bytes(part.itemsize - 1)) * count
            self._ones[count] = ones = int.from_bytes(one, "little")
        total = int.from_bytes(data, "little") + (ones if change > 0 else -ones)
        block[entry : entry + count] = array(part.typecode, total.to_bytes(len(data), "little"))

    def add_each(self, clusters: list[int], change: int) -> None:
        """Change the count of each cluster, which may come several times; all or none.

        Raises:
            QemuError: as `add`.
        """
        limit = self._width.maximum if change > 0 else 0
        entries = self._block_entries
        done = 0
        try:
            last, block = -1, None
            for cluster in clusters:
                index, entry = divmod(cluster, entries)
                if index != last:
                    last, block = index, self._block(index)
                    if block is None:
                        raise QemuError(f"No refcount block for cluster {cluster}", errno.EIO)
                    self._table.mark_changed(index, 0, entries)
                assert block is not None
                if block[entry] == limit:
                    what = "full" if change > 0 else "0 already"
                    raise QemuError(f"A reference count is {what}", errno.EINVAL)
                block[entry] += change
                done += 1
        except QemuError:
            for cluster in clusters[:done]:
                block = self._block(cluster // entries)
                assert block is not None
                block[cluster % entries] -= change
            raise
        if change < 0 and clusters:
            self._hint = min(self._hint, min(clusters))

    def used_clusters(self, end: int) -> int:
        """How many clusters before the one numbered `end` have references."""
        used = 0
        for index in range(-(-end // self._block_entries)):
            block = self._block(index)
            if block is not None:
                part = block[: end - index * self._block_entries]
                is_even = part == array(part.typecode, part[:1]) * len(part)
                used += len(part) - (_zeros(part) if not is_even else (not part[0]) * len(part))
        return used

    def last_used(self, end: int) -> int:
        """The last cluster before the one numbered `end` that has references."""
        for index in range((end - 1) // self._block_entries, -1, -1):
            block = self._block(index)
            if block is None:
                continue
            part = block[: end - index * self._block_entries].tobytes()
            used = len(part.rstrip(b"\0"))
            if used:
                return index * self._block_entries + (used - 1) // block.itemsize
        return 0

    def block_offsets(self) -> list[int]:
        """Where the blocks lie, host offsets."""
        return self._table.offsets()

    # --- free clusters

    def allocate(self, wanted: int, *, exactly: bool) -> tuple[int, int]:
        """Find free clusters one after the other and count each once.

        Args:
            wanted: how many, 1 or more.
            exactly: no shorter run will do; otherwise the first free run is taken.

        Returns:
            The first cluster's number, and how many there are.

        Raises:
            QemuError: there is no room, or a block is damaged; nothing has changed.
        """
        run_start = run_length = 0
        for first, length in self._free_runs(wanted, together=wanted if exactly else 1):
            if run_length and first == run_start + run_length:
                run_length += length
            else:
                run_start, run_length = first, length
            if run_length >= wanted or not exactly:
                break
        count = min(wanted, run_length)
        self._file.check_room((run_start + count) << self._cluster_bits)
        self.add(run_start, count, 1)
        if not exactly or wanted == 1:
            self._hint = run_start + count
        return run_start, count

    def _free_runs(self, longest: int, *, together: int) -> Iterator[tuple[int, int]]:
        """Runs of clusters without references, in order, from the hint on, never ending.

        A run longer than `longest` comes in pieces.  Behind the last region that is counted,
        there is one of `together` clusters at least.
        """
        index, entry = divmod(self._hint, self._block_entries)
        while True:
            block = self._block(index)
            if block is None:
                index, entry = divmod(self._open_regions(index, together), self._block_entries)
                continue
            width = block.itemsize
            data = block.tobytes()
            base = index * self._block_entries
            while entry < self._block_entries:
                found = data.find(bytes(width), entry * width)
                if found < 0:
                    break
                entry = -(-found // width)
                if entry == self._block_entries or block[entry]:
                    continue
                rest = data[entry * width : (entry + longest) * width]
                length = (len(rest) - len(rest.lstrip(b"\0"))) // width
                yield base + entry, length
                entry += length
            index, entry = index + 1, 0

    def _open_regions(self, index: int, wanted: int) -> int:
        """Begin to count where there was no block; the cluster to go on looking from."""
        start = index * self._block_entries
        self._file.check_room((start + 1) << self._cluster_bits)
        taken, given_up = self._table.add_blocks(index, wanted)
        if not taken:  # too few regions before those that are counted already
            while self._block(index) is None:
                index += 1
            return index * self._block_entries
        self.add(start, taken, 1)
        self._note_tables(start, taken)
        if given_up is not None:
            self.add(*given_up, -1)
        return start + taken

    # --- to the file

    @property
    def is_dirty(self) -> bool:
        """Whether `write` has anything to do."""
        return self._table.is_dirty

    def write(self) -> None:
        """Write what changed since the last time.

        A table that was replaced is counted down when the header names the new one for good, so
        that its count needs no further barrier.
        """
        replaced = self._table.write_new()
        if replaced is not None:
            self.add(*replaced, -1)
        self._table.write_changes()


def _zeros(counts: array[int]) -> int:
    """How many of some counts are 0."""
    width = counts.itemsize
    data = counts.tobytes()
    lowest, others = (0, range(1, width)) if _IS_LITTLE else (width - 1, range(width - 1))
    if any(data[place::width].strip(b"\0") for place in others):
        return counts.count(0)
    return data[lowest::width].count(0)
