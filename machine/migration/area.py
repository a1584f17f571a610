"""An image's vmstate area as a channel: what savevm writes to and loadvm reads from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from blockdev.snapshot import Snapshot
    from blockdev.vmstate_area import VMStateWriter


class AreaWriter:
    """The way into the area.  It doesn't end with `close`: the snapshot takes it over."""

    def __init__(self, writer: VMStateWriter) -> None:
        self._writer = writer

    def writev(self, buffers: list[bytes | memoryview]) -> int:
        # One piece: an image has to cut at the clusters' borders, which costs more for many
        # pieces than copying them.
        piece = b"".join(buffers)
        self._writer.write([piece])
        return len(piece)

    def close(self) -> None:
        """Nothing is held here."""


class AreaReader:
    """The way out of a snapshot's area.

    It never ends: what follows the state reads as zeros, so a state that was cut off is one with
    zeros at its end.
    """

    def __init__(self, node: BlockNode, snapshot: Snapshot) -> None:
        self._reader = node.vmstate_reader(snapshot)
        self._offset = 0

    def readinto(self, view: memoryview) -> int:
        size = self._reader.read_into(self._offset, view)
        view[size:] = bytes(len(view) - size)
        self._offset += len(view)
        return len(view)

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def close(self) -> None:
        """Nothing is held here."""
