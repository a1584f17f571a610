"""Machine state on its way into an image, and out of a snapshot."""

from __future__ import annotations

from array import array

from blockdev.qcow2.sharing import references
from blockdev.vmstate_area import VMStateReader, VMStateWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer
    from blockdev.qcow2.mapping import Mapping
    from blockdev.qcow2.metadata import Metadata


class StateArea(VMStateWriter):
    """Machine state on its way into an image.

    It has an L1 table of its own, which the file only gets as part of the snapshot's: until
    then the state takes clusters that nothing refers to.  Only whole clusters are written, so
    that none is written twice.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._mapping = metadata.mapping(array("Q"))
        self._written = 0
        self._rest = b""

    def write(self, buffers: Sequence[Buffer]) -> None:
        total = len(self._rest) + sum(map(len, buffers))
        over = total % self._metadata.cluster_size
        if total == over:
            self._rest += b"".join(buffers)
            return
        pieces: list[Buffer] = [self._rest, *buffers]
        tail: list[Buffer] = []
        while over:
            last = memoryview(pieces.pop())
            cut = max(0, len(last) - over)
            if cut:
                pieces.append(last[:cut])
            tail.append(last[cut:])
            over -= len(last) - cut
        self._rest = b"".join(reversed(tail))
        self._mapping.write(self._written, pieces)
        self._written += total - total % self._metadata.cluster_size

    def write_rest(self) -> None:
        if self._rest:
            self._mapping.write(self._written, [self._rest])
            self._rest = b""

    def finish(self) -> Mapping:
        """Write what is left of the state; the mapping of all of it."""
        self.write_rest()
        return self._mapping

    def adopt(self) -> None:
        """The state belongs to a snapshot now, or may; it can't be abandoned any more."""
        self._mapping = self._metadata.mapping(array("Q"))

    def abandon(self) -> None:
        for reference in list(references(self._mapping)):
            self._metadata.allocator.free_now(reference)
        self._metadata.tables.forget(lambda cluster: self._metadata.refcounts.get(cluster) == 0)
        self._mapping = self._metadata.mapping(array("Q"))


class StateReader(VMStateReader):
    """Machine state in a snapshot.

    Args:
        l1: the entries of the snapshot's L1 table past its disk.
    """

    def __init__(self, metadata: Metadata, l1: array[int]) -> None:
        self._mapping = metadata.mapping(l1)
        self._end = len(l1) << metadata.layout.span_bits

    def read_into(self, offset: int, view: memoryview) -> int:
        inside = max(0, min(len(view), self._end - offset))
        self._mapping.read_into(offset, view[:inside])
        return inside
