"""Bytes from one node to another, a piece at a time."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.status import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

PIECE = 1 << 20  # bytes: what a job does between two looks at everything else
CHUNK = 512 << 10  # bytes that a stream or commit counts at a time, as QEMU's


class ReadError(QemuError):
    """What was to be copied can't be read."""


def read_piece(source: BlockNode, offset: int, size: int) -> bytes:
    """Bytes that are to be copied.

    Raises:
        ReadError: they can't be read.
    """
    try:
        return source.read(offset, size)
    except QemuError as error:
        raise ReadError(str(error), error.errno_value) from error


def copy_piece(source: BlockNode, target: BlockNode, offset: int, size: int) -> None:
    """Copy some bytes; zeros take no room in the target where it can do without.

    Args:
        size: at most; what one of the two lacks isn't copied.
    """
    size = min(size, length_of(source) - offset, length_of(target) - offset)
    if size <= 0:
        return
    data = read_piece(source, offset, size)
    if is_zero(data):
        target.write_zeroes(offset, size, may_unmap=True)
    else:
        target.write(offset, [data])


_ZEROS = bytes(PIECE)


def is_zero(data: bytes) -> bool:
    """Whether all bytes are zeros."""
    # Most data tells at once that it isn't; the rest is compared at the speed of memory.
    if data[:1] != b"\0":
        return not data
    zeros = _ZEROS if len(data) == PIECE else bytes(len(data))
    return data == zeros
