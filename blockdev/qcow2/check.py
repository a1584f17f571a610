"""Judges a qcow2 image: what is wrong with it, and whether that can hurt anybody.

At every instant, each cluster's stored count must be at least the number of references to it,
and the COPIED bit of an active entry may be set only where there is one reference.  A count too
high only wastes space, and a COPIED bit that is missing only costs a copy; both are what a crash
may leave behind.  Everything else is dangerous.

The verdict and the words are those of `qemu-img check`, which doesn't tell the harmless slips of
the COPIED bit from the dangerous ones; `CheckResult.is_dangerous` does.
"""

from __future__ import annotations

from array import array

from blockdev.qcow2.survey import Survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdev.node import BlockNode
    from blockdev.qcow2.slip import Slip


class CheckResult:
    """What a check found.

    Args:
        survey: the walk that found it.

    Attributes:
        corruptions: what is wrong besides counts and COPIED bits, a line each: entries that are
            unaligned, have reserved bits set or point past the end of the file.
        unreadable: clusters whose counts couldn't be looked at: runs of first and count.
        shared_marks: active entries with a COPIED bit although there are two references, where
            the stored count knows it.
        leak_count, low_count: counts too high and too low.
        overlaps: clusters with a table or the like that something else refers to as well.
        total_clusters: clusters of the disk that a guest sees.
        allocated_clusters, fragmented_clusters, compressed_clusters: of the active disk.
        image_end_offset: end of the last cluster in use, bytes.
        leaks_fixed, corruptions_fixed: how much `repair` put right before this check.
        repairs: a line for each, after those of what it had found.
    """

    __slots__ = (
        "_all_slips",
        "_references",
        "_stored",
        "_wrong",
        "allocated_clusters",
        "compressed_clusters",
        "corruption_count",
        "corruptions",
        "corruptions_fixed",
        "fragmented_clusters",
        "image_end_offset",
        "leak_count",
        "leaks_fixed",
        "low_count",
        "overlaps",
        "repairs",
        "shared_marks",
        "total_clusters",
        "unreadable",
    )

    def __init__(self, survey: Survey) -> None:
        self.corruptions = survey.corruptions
        self.unreadable = survey.counts.unreadable
        self.leaks_fixed = self.corruptions_fixed = 0
        self.repairs: Iterable[str] = ()
        self.overlaps = sorted(set(survey.overlaps()))
        self._stored, self._references = survey.counts.tally, survey.references
        self._all_slips = survey.slips
        self.corruptions += self._clamp(survey.maximum, survey)
        self.shared_marks = [slip for slip in survey.slips if self._is_shared(slip)]
        used = self._used_clusters()
        for first, count in self.unreadable:
            for cluster in range(first, first + count):
                self._stored.set(cluster, self._references.get(cluster))
        self._wrong = array("Q", self._stored.differences(self._references))
        self.leak_count = sum(1 for _ in self.counts(leaks=True))
        self.low_count = len(self._wrong) - self.leak_count
        self.corruption_count = (
            sum(not line.startswith("Use ") for line in self.corruptions)
            + survey.silent_corruptions
            + self.low_count
            + len(survey.slips)
        )
        self.total_clusters = -(-survey.size >> survey.cluster_bits)
        self.allocated_clusters = survey.allocated_clusters
        self.fragmented_clusters = survey.fragmented_clusters
        self.compressed_clusters = survey.compressed_clusters
        self.image_end_offset = used << survey.cluster_bits

    def _used_clusters(self) -> int:
        """The number of the last cluster in use whose count could be read, and one."""
        used = 0
        for tally in (self._stored, self._references):
            small = tally.small[:] if self.unreadable else tally.small
            for first, count in self.unreadable:
                small[first : first + count] = bytes(count)
            used = max(used, len(small.rstrip(b"\0")))
        return max(used, 1)

    def _clamp(self, maximum: int, survey: Survey) -> Iterator[str]:
        """Bring references that no count of this width can hold down to the largest; say so."""
        tally = self._references
        over = sorted(c for c, n in tally.large.items() if n > maximum)
        for cluster in over:
            yield from survey.overflow(cluster) * (tally.get(cluster) - maximum)
            tally.set(cluster, maximum)

    def counts(self, *, leaks: bool | None = None) -> Iterator[tuple[int, int, int]]:
        """Wrong counts by cluster, as cluster, refcount and references.

        Args:
            leaks: only those that are too high, or that are too low; None: all.
        """
        for cluster in self._wrong:
            refcount, references = self._stored.get(cluster), self._references.get(cluster)
            if leaks is None or (refcount > references) == leaks:
                yield cluster, refcount, references

    @property
    def leaks(self) -> list[tuple[int, int, int]]:
        """Counts too high: cluster, refcount, references."""
        return list(self.counts(leaks=True))

    @property
    def low_counts(self) -> list[tuple[int, int, int]]:
        """Counts too low, so that the cluster can be handed out twice, in the same form."""
        return list(self.counts(leaks=False))

    @property
    def slips(self) -> list[Slip]:
        """Active entries whose COPIED bit isn't as the stored count asks, but does no harm."""
        return [slip for slip in self._all_slips if not self._is_shared(slip)]

    @property
    def slip_count(self) -> int:
        """How many `slips` there are."""
        return len(self._all_slips) - len(self.shared_marks)

    def _is_shared(self, slip: Slip) -> bool:
        return slip.is_copied and self._references.get(slip.cluster) > 1

    @property
    def is_dangerous(self) -> bool:
        """Whether anything was found but leaks and slips that do no harm."""
        return bool(self.corruption_count > self.slip_count or self.unreadable or self.overlaps)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.is_dangerous or self.leak_count or self.slip_count)

    @property
    def exit_status(self) -> int:
        """As `qemu-img check` ends: 1 not all could be checked, 2 corruptions, 3 leaks, else 0."""
        if self.unreadable:
            return 1
        if self.corruption_count:
            return 2
        return 3 if self.leak_count else 0

    def findings(self, *, with_slips: bool = True) -> Iterator[str]:
        """A line for each finding, which `qemu-img check` writes to its standard error."""
        yield from self.corruptions
        for first, count in self.unreadable:
            for cluster in range(first, first + count):
                yield f"Can't get refcount for cluster {cluster}: Input/output error"
        for cluster, refcount, references in self.counts():
            kind = "ERROR" if refcount < references else "Leaked"
            yield f"{kind} cluster {cluster} refcount={refcount} reference={references}"
        for slip in self._all_slips if with_slips else ():
            yield f"ERROR {slip.text}"

    def summary(self) -> Iterator[str]:
        """The lines about the whole, which `qemu-img check` writes to its standard output."""
        internal_errors = sum(count for _, count in self.unreadable)
        if not (self.corruption_count or self.leak_count or internal_errors):
            yield "No errors were found on the image."
        if self.corruption_count:
            yield ""
            yield f"{self.corruption_count} errors were found on the image."
            yield "Data may be corrupted, or further writes to the image may corrupt it."
        if self.leak_count:
            yield ""
            yield f"{self.leak_count} leaked clusters were found on the image."
            yield "This means waste of disk space, but no harm to data."
        if internal_errors:
            yield ""
            yield f"{internal_errors} internal errors have occurred during the check."
        if self.total_clusters and self.allocated_clusters:
            total, allocated = self.total_clusters, self.allocated_clusters
            yield (
                f"{allocated}/{total} = {allocated * 100 / total:.2f}% allocated, "
                f"{self.fragmented_clusters * 100 / allocated:.2f}% fragmented, "
                f"{self.compressed_clusters * 100 / allocated:.2f}% compressed clusters"
            )
        yield f"Image end offset: {self.image_end_offset}"

    def lines(self) -> Iterator[str]:
        """All that `qemu-img check` says, in its order."""
        yield from self.findings()
        yield from self.summary()


def check(file: BlockNode) -> CheckResult:
    """Check a whole image; nothing is written.

    Args:
        file: the node with the image's bytes, as they are in the file: what the engine keeps in
            memory isn't there yet.

    Raises:
        QemuError: the file can't be checked at all, for a header or snapshot table that makes no
            sense.
    """
    return CheckResult(Survey(file))
