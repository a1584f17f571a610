"""Who refers to a mapping's clusters, and the mark that says that it alone does.

Snapshots are made of this: counting up all that a mapping refers to, and taking the marks away.
"""

from __future__ import annotations

from array import array

from blockdev.qcow2.entries import COMPRESSED, COPIED, OFFSET_MASK
from blockdev.qcow2.words import big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.lookup import Clusters
    from blockdev.qcow2.mapping import Mapping
    from blockdev.qcow2.tables import L2Table


def references(mapping: Mapping, *, sharing: bool = False) -> Iterator[Reference]:
    """The clusters of all L2 tables, and those that their entries refer to.

    Args:
        sharing: on the way, mark everything as shared, so that the next write to it goes
            elsewhere.

    Raises:
        QemuError: an L1 entry that can't be.
    """
    columns, bits = mapping.clusters.columns, mapping.clusters.layout.cluster_bits
    run_first = run_count = 0
    for l1_index in range(len(mapping.l1)):
        table = mapping.l2_table(l1_index)
        if table is None:
            continue
        first, count = table.run(columns)
        if not count:
            yield from columns.references(table.raw)
        # A table before its data, and the next one behind, are one long run.
        for start, length in ((table.host_offset >> bits, 1), (first, count)):
            if start == run_first + run_count:
                run_count += length
            elif length:
                if run_count:
                    yield run_first, run_count
                run_first, run_count = start, length
        if sharing:
            _share(mapping, l1_index, table)
    if run_count:
        yield run_first, run_count


def _share(mapping: Mapping, l1_index: int, table: L2Table) -> None:
    if mapping.l1[l1_index] & COPIED:
        mapping.l1[l1_index] &= ~COPIED
        mapping.changed_l1.add(l1_index)
    raw = table.raw
    unmarked = mapping.clusters.columns.unmarked(raw)
    if unmarked is not raw:
        _mark(mapping.clusters, table, unmarked)


def _mark(clusters: Clusters, table: L2Table, raw: bytes) -> None:
    """Let a table have other marks than before."""
    table.replace_marks(raw)
    # Marks alone may go to the file in any order, so that they needn't pile up.
    if clusters.tables.are_many_pending:
        clusters.tables.write_changes()


def set_copied(mapping: Mapping) -> None:
    """Mark what has a single reference as ours alone, and nothing else."""
    clusters = mapping.clusters
    bits = clusters.layout.cluster_bits
    present = [index for index, entry in enumerate(mapping.l1) if entry & OFFSET_MASK]
    numbers = [(mapping.l1[index] & OFFSET_MASK) >> bits for index in present]
    for index, count in zip(present, clusters.allocator.counts(numbers), strict=True):
        right = mapping.l1[index] & OFFSET_MASK | (COPIED if count == 1 else 0)
        if right != mapping.l1[index]:
            mapping.l1[index] = right
            mapping.changed_l1.add(index)
        table = mapping.l2_table(index)
        if table is not None and not _set_copied_in_run(clusters, table):
            _set_copied_in_any(clusters, table)


def _set_copied_in_run(clusters: Clusters, table: L2Table) -> bool:
    """Mark a table that is one run of clusters with one count; False if it isn't."""
    columns = clusters.columns
    first, length = table.run(columns)
    count = clusters.allocator.common_count(first, length) if length else None
    if count is None:
        return False
    raw = table.raw
    if (count == 1) != columns.is_marked(raw):
        right = columns.marked(raw, length) if count == 1 else columns.unmarked(raw)
        _mark(clusters, table, right)
    return True


def _set_copied_in_any(clusters: Clusters, table: L2Table) -> None:
    layout = clusters.layout
    bits = layout.cluster_bits
    entries = table.words[:: layout.words]
    # An entry without a cluster looks at the first one, which is the header's.
    numbers = [0 if entry & COMPRESSED else (entry & OFFSET_MASK) >> bits for entry in entries]
    counts = clusters.allocator.counts(numbers)
    right = [
        (entry | COPIED if count == 1 else entry & ~COPIED) if number else entry
        for entry, number, count in zip(entries, numbers, counts, strict=True)
    ]
    if right != entries.tolist():
        words = table.words[:]
        words[:: layout.words] = array("Q", right)
        _mark(clusters, table, big_endian(words))
