"""The ``block`` section: what the disks hold, for ``migrate -b`` and ``-i``.

It is there only while that is asked for.  First everything goes out, disk after disk, while the
guest runs and its writes are noted; then, round after round, the pieces that were written since.
Source of the format: what QEMU 7.2 writes and takes.
"""

from __future__ import annotations

import errno

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import QemuError
from machine.migration.qemufile import StreamError, StreamStalled
from machine.vmstate.registry import LiveState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report
    from machine.vmstate.registry import Progress

VERSION = 1

# The low bits of the be64 that a record begins with; the others are the place on the disk.
DATA = 0x01  # the drive's name follows, and then the piece, unless it is zero
EOS = 0x02
PROGRESS = 0x04  # the place is the percentage that is done, in sectors
ZERO = 0x08
FLAGS = 0x1FF

SECTOR_BITS = 9
PIECE_SIZE = 1 << 20  # bytes; the last piece of a disk is filled up
PART_SIZE = 4 << 20  # bytes of disk in one PART section
LONGEST_RECORD = 8 + 1 + 255 + PIECE_SIZE


class UnsentPieces(DirtyBitmap):
    """The pieces of a disk that are still to be sent, those written meanwhile too."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(size, PIECE_SIZE)

    def take(self) -> int | None:
        """The place of the first one, which counts as sent now; None if there is none."""
        index = self._marks.find(1)
        if index < 0:
            return None
        self._marks[index] = 0
        self.count -= 1
        return index * PIECE_SIZE


class OutgoingDisk:
    """A disk on its way out.

    Args:
        size: of the disk when that began, bytes; a piece of one that grew since isn't sent.
    """

    __slots__ = ("name", "node", "size", "unsent")

    def __init__(self, name: str, node: BlockNode, *, shared: bool) -> None:
        self.name = name
        self.node = node
        self.size = node.size
        self.unsent = UnsentPieces(self.size)
        if not shared:
            self.unsent.mark(0, self.size)
            return
        offset = 0
        while offset < self.size:
            is_own, size = node.allocation(offset, self.size - offset)
            if is_own:
                self.unsent.mark(offset, size)
            offset += size


class BlockState(LiveState):
    """The content of the drives, saved and loaded.

    Args:
        backends: the drives there are.
        sends_zeroes: whether zeros go out as such (the capability ``zero-blocks``).
        tell: takes text for stdout: how far the disks have come, where they arrive.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        sends_zeroes: Callable[[], bool] = lambda: False,
        tell: Callable[[str], object] = len,
    ) -> None:
        self._backends = backends
        self._sends_zeroes = sends_zeroes
        self._tell = tell
        self._has_told = False
        self._is_active = False
        self._is_shared = False
        self._disks: list[OutgoingDisk] = []
        self._percentage = -1

    def set_params(self, *, block: bool, shared: bool) -> None:
        self._is_active = block
        self._is_shared = shared

    @property
    def is_active(self) -> bool:
        return self._is_active

    # --- saving

    def save_setup(self, file: QEMUFileWriter) -> None:
        self._percentage = -1
        self._disks = [
            OutgoingDisk(backend.name, backend.node, shared=self._is_shared)
            for backend in self._backends
            if backend.node is not None and not backend.is_read_only and backend.node.size
        ]
        for disk in self._disks:
            disk.node.dirty_bitmaps.append(disk.unsent)
        file.put_be64(EOS)

    def save_pending(self) -> int:
        return sum([disk.unsent.count * PIECE_SIZE for disk in self._disks])

    def sync(self) -> None:
        """What is written is noted right away."""

    def save_iterate(self, file: QEMUFileWriter) -> bool:
        left = PART_SIZE
        while left and self.save_pending():
            self._put_progress(file)
            self._put_piece(file)
            left -= PIECE_SIZE
            if file.rate_limit_reached():
                break
        file.put_be64(EOS)
        return not self.save_pending()

    def save_complete(self, file: QEMUFileWriter) -> Iterator[Progress]:
        while self._put_piece(file) and not file.error:
            yield self.progress()
        file.put_be64(100 << SECTOR_BITS | PROGRESS)
        file.put_be64(EOS)

    def save_cleanup(self) -> None:
        for disk in self._disks:
            disk.node.dirty_bitmaps.remove(disk.unsent)
        self._disks = []
        self._is_active = False  # it is asked for each time

    def progress(self) -> Progress:
        total = sum([disk.size for disk in self._disks])
        return max(0, total - self.save_pending()), total

    def _put_piece(self, file: QEMUFileWriter) -> bool:
        """Write the first piece that there is.  Returns whether there was one."""
        for disk in self._disks:
            offset = disk.unsent.take()
            if offset is None:
                continue
            if offset >= disk.size:
                return True
            try:
                data = disk.node.read(offset, min(PIECE_SIZE, disk.size - offset))
            except QemuError as error:
                file.set_error(error.errno_value or errno.EIO)
                return False
            is_zero = self._sends_zeroes() and not any(data)
            file.put_be64(offset | DATA | (ZERO if is_zero else 0))
            file.put_counted_string(disk.name.encode("utf-8", "surrogateescape"))
            if not is_zero:
                file.put_buffer(data.ljust(PIECE_SIZE, b"\0"))
            return True
        return False

    def _put_progress(self, file: QEMUFileWriter) -> None:
        """Say how far it was before the piece that follows."""
        done, total = self.progress()
        percentage = done * 100 // total
        if percentage > self._percentage:
            self._percentage = percentage
            file.put_be64(percentage << SECTOR_BITS | PROGRESS)

    # --- loading

    def load(
        self, file: QEMUFileReader, version_id: int, report: Report
    ) -> Generator[Progress | None]:
        is_end = False
        while not is_end:
            file.mark()
            try:
                is_end = self._load_record(file, report)
            except StreamStalled:
                file.rewind()
                yield None

    def _load_record(self, file: QEMUFileReader, report: Report) -> bool:
        """Take one record.  Returns whether it was the section's end."""
        file.fill(8, LONGEST_RECORD)
        header = file.get_be64()
        flags = header & FLAGS
        offset = header - flags
        if flags & DATA:
            self._load_piece(file, offset, bool(flags & ZERO), report)
        elif flags & PROGRESS:
            self._tell_progress(offset >> SECTOR_BITS)
        elif not flags & EOS:
            report(f"Unknown block migration flags: {flags:#x}")
            raise StreamError(errno.EINVAL)
        if file.error:
            raise StreamError(file.error)
        return bool(flags & EOS)

    def _tell_progress(self, percentage: int) -> None:
        if not self._has_told:
            self._has_told = True
            self._tell("Receiving block device images\n")
        self._tell(f"Completed {percentage} %" + ("\n" if percentage == 100 else "\r"))

    def _load_piece(self, file: QEMUFileReader, offset: int, is_zero: bool, report: Report) -> None:
        text = file.get_counted_string()
        name = text.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        backend = next((each for each in self._backends if name == each.name != ""), None)
        if backend is None:
            report(f"Error unknown block device {name}")
            raise StreamError(errno.EINVAL)
        data = b"" if is_zero else file.get_buffer(PIECE_SIZE)
        if file.error:
            raise StreamError(file.error)
        if backend.node is None:
            report(f"Block device {name} has no medium")
            raise StreamError(errno.EINVAL)
        node = backend.node
        try:
            _activate(node)
            size = min(PIECE_SIZE, node.size - offset)
            if size <= 0 or node.read_only:
                raise QemuError("The piece has no place on the disk", errno.EIO)
            if is_zero:
                node.write_zeroes(offset, size, may_unmap=True)
            else:
                node.write(offset, [data[:size]])
        except QemuError as error:
            raise StreamError(error.errno_value or errno.EIO) from error


def _activate(node: BlockNode) -> None:
    """Take an image over, though its machine hasn't all of its state yet."""
    for child in node.children:
        _activate(child)
    node.activate()
