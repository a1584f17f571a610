"""Stand-ins for a disk file: one whose n-th write fails, one that remembers what came when."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blockdev.errors import QemuError
from blockdev.file import ByteFile
from blockdev.node import BlockNode
from blockdev.raw import FileNode

if TYPE_CHECKING:
    from blockdev.file import Buffer


class WatchedFile:
    """Passes everything on to a real file."""

    def __init__(self, file: ByteFile) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._file.write(offset, buffers)

    def flush(self) -> None:
        self._file.flush()


class FailingFile(WatchedFile):
    """Fails once, at the n-th write or barrier from now on, without doing it.

    With `torn`, half of the data is written before a write fails.
    """

    number = errno.EIO

    def __init__(self, file: ByteFile, n: int, *, torn: bool = False) -> None:
        super().__init__(file)
        self.left = n
        self._torn = torn

    def _failure(self) -> QemuError:
        return QemuError(os.strerror(self.number), self.number)

    def _count(self) -> bool:
        self.left -= 1
        return self.left == 0

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        if self._count():
            if self._torn:
                data = b"".join(buffers)
                self._file.write(offset, [data[: len(data) // 2]])
            raise self._failure()
        super().write(offset, buffers)

    def flush(self) -> None:
        if self._count():
            raise self._failure()
        super().flush()


class NoRoomOnce(FailingFile):
    """Has no room for the n-th write, but for the next: another program freed some.

    Attributes:
        has_room: there is room from now on, whatever the number of the write.
    """

    number = errno.ENOSPC

    def __init__(self, file: ByteFile, n: int) -> None:
        super().__init__(file, n)
        self.has_room = False

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        if self.has_room:
            self._file.write(offset, buffers)
        else:
            super().write(offset, buffers)

    def flush(self) -> None:
        self._file.flush()


class FullFile(NoRoomOnce):
    """Has no room from the n-th write on, however often it is tried, until `has_room` is set.

    What lies inside the file, which has its room, can still be written; of a write across the
    end, that part is.
    """

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.left -= 1
        size = self._file.size
        data = b"".join(buffers)
        if self.left > 0 or self.has_room or offset + len(data) <= size:
            self._file.write(offset, buffers)
            return
        if offset < size:
            self._file.write(offset, [data[: size - offset]])
        raise self._failure()


class RecordingFile(WatchedFile):
    """Remembers (offset, data) of each write and None for each barrier."""

    def __init__(self, file: ByteFile) -> None:
        super().__init__(file)
        self.log: list[tuple[int, bytes] | None] = []

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.log.append((offset, b"".join(buffers)))
        super().write(offset, buffers)

    def flush(self) -> None:
        self.log.append(None)
        super().flush()


def watch(
    node: BlockNode, make: type[WatchedFile], *arguments: int, **options: bool
) -> WatchedFile:
    """Put a stand-in between an image's node and its file."""
    assert isinstance(node.file, FileNode)
    file = node.file.bytes
    watched = make(file._file if isinstance(file, WatchedFile) else file, *arguments, **options)
    node.file.bytes = watched  # type: ignore[assignment]  # it quacks like a ByteFile
    return watched
