"""Where a stream to be decoded lies: a file or a snapshot's vmstate area, read at any place."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.snapshot import find_by_id_and_name, find_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from blockdev.snapshot import Snapshot

WINDOW = 1 << 20  # bytes read at once
LARGEST_PIECE = 64 << 20  # bytes that are kept at once, whatever the stream says


class Source:
    """A stream that is all there.

    Attributes:
        size: bytes; for an area what the snapshot says.
    """

    size = 0

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, both inside the stream."""
        raise NotImplementedError

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`, without a copy where that can be."""
        view[:] = self.read(offset, len(view))


class BytesSource(Source):
    """A stream in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


class FileSource(Source):
    """A stream that is a node's whole content."""

    def __init__(self, node: BlockNode) -> None:
        self.size = node.size
        self._node = node

    def read(self, offset: int, size: int) -> bytes:
        return self._node.read(offset, size)


class AreaSource(Source):
    """A stream in a snapshot."""

    def __init__(self, node: BlockNode, snapshot: Snapshot) -> None:
        self.size = snapshot.vm_state_size
        self._reader = node.vmstate_reader(snapshot)

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(size)  # zeros, which is what an area has behind its end
        with memoryview(data) as view:
            self._reader.read_into(offset, view)
        return bytes(data)

    def read_into(self, offset: int, view: memoryview) -> None:
        done = self._reader.read_into(offset, view)
        view[done:] = bytes(len(view) - done)


def snapshot_source(node: BlockNode, tag: str | None) -> tuple[AreaSource, Snapshot]:
    """The stream in one of an image's snapshots, and which it is.

    Args:
        tag: the snapshot's tag, or its id where no tag is like that; None takes the only one
            with a machine's state.

    Raises:
        QemuError: there is no such snapshot, or it has no state.
    """
    snapshots = node.snapshots()
    if tag is None:
        with_state = [snapshot for snapshot in snapshots if snapshot.vm_state_size]
        if len(with_state) != 1:
            count = len(with_state)
            number = f"{count} snapshots with VM state, say which" if count else "no VM state"
            raise QemuError(f"'{node.filename}' has {number}")
        return AreaSource(node, with_state[0]), with_state[0]
    found = find_by_name(snapshots, tag) or find_by_id_and_name(snapshots, tag, None)
    if found is None:
        raise QemuError(f"Snapshot '{tag}' does not exist in '{node.filename}'")
    if not found.vm_state_size:
        raise QemuError("This is a disk-only snapshot. Revert to it  offline using qemu-img")
    return AreaSource(node, found), found


class Cursor:
    """A place in a source.

    `buffer[position - base:]` is what has been read from there on; who takes bytes from it
    himself puts `position` forward.
    """

    def __init__(self, source: Source, position: int = 0) -> None:
        self.source = source
        self.position = position
        self.base = position
        self.buffer = b""

    def have(self, size: int, want: int = 0) -> int:
        """See to it that up to `size` bytes are in the buffer; how many there are.

        Args:
            want: how many to read if any have to be read.
        """
        available = self.base + len(self.buffer) - self.position
        if available < size or self.position < self.base:
            left = max(0, self.source.size - self.position)
            self.buffer = self.source.read(self.position, min(max(size, want, 4096), left))
            self.base = self.position
            available = len(self.buffer)
        return available

    def take(self, size: int, what: str) -> bytes:
        """The next `size` bytes.

        Args:
            what: they are, for the message.

        Raises:
            QemuError: the stream ends before, or that would be too much.
        """
        if size > self.source.size - self.position:
            raise QemuError(f"The stream ends at byte {self.source.size}, in {what}")
        if size > LARGEST_PIECE:
            raise QemuError(f"{size} bytes of {what} are too much")
        self.have(size, WINDOW if size < 64 else 0)
        start = self.position - self.base
        self.position += size
        return self.buffer[start : start + size]

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay to be taken; fewer at the end."""
        self.have(size, WINDOW)
        start = self.position - self.base
        return self.buffer[start : start + size]

    def skip(self, size: int, what: str) -> None:
        """Leave bytes out."""
        if size > self.source.size - self.position:
            raise QemuError(f"The stream ends at byte {self.source.size}, in {what}")
        self.position += size

    def number(self, size: int, what: str) -> int:
        """A big-endian number of so many bytes."""
        return int.from_bytes(self.take(size, what), "big")

    def counted(self, what: str) -> bytes:
        """A byte of length and that many bytes."""
        return self.take(self.number(1, what), what)
