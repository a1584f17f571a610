"""A drive as qemu-io's commands see it, and what of a node they can't have."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode

PIECE = 1 << 20  # bytes of a long transfer that are in memory at once
_SECTOR = 512


class IoTarget:
    """A medium, or a drive without one.

    Args:
        node: the medium's root node; None for an empty drive.
        write_through: the drive's write cache is off, so that a flush follows each write.
        refusal: tells why the wanted permissions can't be had, if so.
        begin: told of each read and write before it: offset, size, and whether it is a write.
    """

    def __init__(
        self,
        node: BlockNode | None,
        *,
        write_through: bool = False,
        refusal: Callable[[Sequence[str]], str | None] = lambda _: None,
        begin: Callable[[int, int, bool], object] = lambda *_: None,
    ) -> None:
        self._begin = begin
        self.node = node
        self.write_through = write_through
        self.refusal = refusal

    @property
    def is_read_only(self) -> bool:
        """Whether there is a medium that can't be written."""
        return self.node is not None and self.node.read_only

    def medium(self) -> BlockNode:
        """The node of the medium.

        Raises:
            QemuError: there is none.
        """
        if self.node is None:
            raise QemuError("No medium found", errno.ENOMEDIUM)
        return self.node

    @property
    def length(self) -> int:
        """Bytes of the disk, whole sectors as QEMU counts them."""
        return -(-self.medium().size // _SECTOR) * _SECTOR

    def _check(self, offset: int, size: int) -> BlockNode:
        node = self.medium()
        if offset + size > self.length:
            raise QemuError("Input/output error", errno.EIO)
        return node

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        """The bytes from `offset` on, in pieces."""
        node = self._check(offset, size)
        self._begin(offset, size, False)
        for start in range(offset, offset + size, PIECE):
            yield node.read(start, min(PIECE, offset + size - start))

    def write(self, offset: int, buffers: Sequence[Buffer], *, through: bool) -> None:
        """Write the buffers one after the other.

        Args:
            through: wait until the disk has them.
        """
        size = sum(map(len, buffers))
        node = self._check(offset, size)
        self._begin(offset, size, True)
        node.write(offset, buffers)
        if through or self.write_through:
            node.flush()

    def write_zeros(
        self, offset: int, size: int, *, through: bool, may_be_slow: bool, may_unmap: bool = False
    ) -> None:
        """Make bytes read as zeros; a node without a quick way to that writes them.

        Args:
            may_unmap: what is allocated may go, which a drive doesn't allow unless told so.
        """
        node = self._check(offset, size)
        if not may_be_slow and node.driver != "qcow2":
            raise _not_supported()
        self._begin(offset, size, True)
        node.write_zeroes(offset, size)
        if through or self.write_through:
            node.flush()

    def discard(self, offset: int, size: int) -> None:
        """Say that the bytes aren't needed any more; they stay, as with QEMU's `discard=ignore`."""
        self._check(offset, size)

    def flush(self) -> None:
        """A barrier; nothing for an empty drive."""
        if self.node is not None:
            self.node.flush()

    def reopen(self, *, read_only: bool | None, cache: str, options: Sequence[str]) -> None:
        """Change how the medium is used; None and "" leave it as it is.

        Args:
            cache: the name of a cache mode.
            options: names of the driver's.
        """
        node = self.medium()
        for option in options:
            raise QemuError(f"Cannot change the option '{option}'")
        if cache or read_only is (not node.read_only):
            raise QemuError("The options of an open image can't be changed here")

    def truncate(self, size: int, preallocation: str = "off") -> None:
        """Give the disk another size.

        Args:
            preallocation: of what is added.
        """
        if self.node is None:
            raise QemuError("No medium inserted", errno.ENOMEDIUM)
        old_size = self.node.size
        self.node.truncate(size)
        if size < old_size:
            self.node.give_back_end()
        elif preallocation != "off":
            self.node.preallocate(old_size, size - old_size, preallocation)

    def run(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether the image itself has the byte at `offset`, and for how many bytes that holds."""
        return self.medium().allocation(offset, size)

    def read_vmstate(self, offset: int, size: int) -> Iterator[bytes]:
        """Machine state that no snapshot has yet; only a save under way could have some."""
        self.medium()
        raise _not_supported()

    def write_vmstate(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """As `read_vmstate`."""
        self.medium()
        raise _not_supported()

    def write_compressed(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write whole clusters in compressed form."""
        node = self._check(offset, sum(map(len, buffers)))
        data = b"".join([bytes(buffer) for buffer in buffers])
        node.write_compressed(offset, data)


def repeated(pattern: bytes, size: int) -> Iterator[bytes]:
    """`size` bytes that repeat `pattern`, in pieces that mostly are one object."""
    piece = pattern * max(1, min(PIECE, size) // len(pattern))
    whole, rest = divmod(size, len(piece))
    for _ in range(whole):
        yield piece
    if rest:
        yield piece[:rest]


def _not_supported() -> QemuError:
    return QemuError("Operation not supported", errno.ENOTSUP)
