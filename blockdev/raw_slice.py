"""Driver ``raw`` with ``offset=`` or ``size=``: a part of a node's bytes."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.raw import RawNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode, CacheMode
    from blockdev.status import BlockStatus

OPTIONS = ("offset", "size")
_UNIT = 512  # of a size, bytes


class RawSlice(RawNode):
    """The bytes from an offset on, as many as a size says, or all.

    Args:
        options: ``offset`` and ``size``, as somebody gave them: numbers, or texts of sizes.

    Raises:
        QemuError: there are no such bytes; QEMU's words.
    """

    def __init__(
        self,
        node_name: str,
        file: BlockNode,
        *,
        options: Mapping[str, object],
        read_only: bool,
        cache: CacheMode,
        is_inactive: bool,
    ) -> None:
        self._options = {name: options[name] for name in OPTIONS if name in options}
        self._offset = _bytes("offset", self._options.get("offset", 0))
        self._fixed = None
        if "size" in self._options:
            self._fixed = _bytes("size", self._options["size"])
        _check(self._offset, self._fixed, file.size)
        super().__init__(node_name, file, read_only=read_only, cache=cache, is_inactive=is_inactive)

    @property
    def shown_options(self) -> dict[str, object]:
        return self._options

    @property
    def size(self) -> int:
        return max(_whole(self._size) - self._offset, 0) if self._fixed is None else self._fixed

    def read(self, offset: int, size: int) -> bytes:
        return self.file.read(self._offset + offset, size)

    def read_into(self, offset: int, view: memoryview) -> None:
        self.file.read_into(self._offset + offset, view)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.check_active()
        size = sum(map(len, buffers))
        self._check_end(offset + size)
        self.mark_dirty(offset, size)
        self.file.write(self._offset + offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.check_active()
        self._check_end(offset + size)
        self.mark_dirty(offset, size)
        self.file.write_zeroes(self._offset + offset, size, may_unmap=may_unmap)

    def _check_end(self, end: int) -> None:
        """Let nobody write what lies behind the part."""
        if self._fixed is not None and end > self._fixed:
            raise QemuError("No space left on device", errno.ENOSPC)

    def check_room(self, end: int) -> None:
        self._check_end(end)
        self.file.check_room(self._offset + end)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return self.file.allocation(self._offset + offset, size)

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import OFFSET_VALID, RAW, BlockStatus

        return BlockStatus(RAW | OFFSET_VALID, size, self._offset + offset, self.file)

    def preallocate(self, offset: int, size: int, mode: str) -> None:
        super().preallocate(self._offset + offset, size, mode)

    def truncate(self, size: int) -> None:
        self.check_active()
        if self._fixed is not None:
            raise QemuError("Cannot resize fixed-size raw disks", errno.ENOTSUP)
        super().truncate(self._offset + size)


def _bytes(name: str, value: object) -> int:
    from blockdev.qcow2.create_words import read_size

    if isinstance(value, bool):
        value = "on" if value else "off"  # neither of which is a size
    return read_size(name, str(value))


def _whole(size: int) -> int:
    """The size of a file, which a part of a sector at its end fills up."""
    return -(-size // _UNIT) * _UNIT


def _check(offset: int, size: int | None, whole: int) -> None:
    whole = _whole(whole)
    if offset > whole:
        raise QemuError(
            f"Offset ({offset}) cannot be greater than size of the containing file ({whole})",
            errno.EINVAL,
        )
    if size is None:
        return
    if offset + size > whole:
        raise QemuError(
            f"The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the "
            f" actual size of the containing file ({whole})",
            errno.EINVAL,
        )
    if size % _UNIT:
        raise QemuError(f"Specified size is not multiple of {_UNIT}", errno.EINVAL)
