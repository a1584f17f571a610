"""What an operation does to an image file: every write and every barrier, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from blockdev.graph import Graph
from tests.blockdev.faults import WatchedFile

if TYPE_CHECKING:
    from blockdev.file import Buffer, ByteFile
    from blockdev.node import CacheMode
    from blockdev.raw import FileNode
    from tests.crash.judge import Contents


class Write(NamedTuple):
    """Bytes that went to the file."""

    offset: int
    data: bytes


class Truncate(NamedTuple):
    """The file was cut or lengthened."""

    size: int


class Barrier(NamedTuple):
    """What came before is on the disk before anything that comes after."""


Event: TypeAlias = Write | Truncate | Barrier


class Version(NamedTuple):
    """The contents after one step of the operation.

    Attributes:
        begun: events of the log before the step, so that fewer can't have any of it.
        promised: events of the log after which it has to survive; None: nobody said so.
    """

    contents: Contents
    begun: int
    promised: int | None


class Recording(NamedTuple):
    """An operation as it went.

    Attributes:
        start: the image file before.
        versions: the contents at the start, then after each step.
        is_atomic: a crash leaves the disk as one of the versions, never a mixture.
    """

    start: bytes
    log: list[Event]
    versions: list[Version]
    is_atomic: bool

    @property
    def writes(self) -> int:
        return sum(not isinstance(event, Barrier) for event in self.log)

    @property
    def barriers(self) -> int:
        return sum(isinstance(event, Barrier) for event in self.log)


class RecordingFile(WatchedFile):
    """Passes everything on to a real file and remembers what changed it."""

    # What reads or locks may pass unseen; a way to change the file that isn't known here fails.
    _HARMLESS = frozenset(
        "name read_only size identity allocated_bytes read read_into close set_permissions "
        "data_extents next_data fileno".split()
    )

    def __init__(self, file: ByteFile, log: list[Event]) -> None:
        super().__init__(file)
        self._log = log

    def __getattr__(self, name: str) -> object:
        assert name in self._HARMLESS, f"ByteFile.{name} isn't recorded"
        return super().__getattr__(name)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._log.append(Write(offset, b"".join(buffers)))
        super().write(offset, buffers)

    def truncate(self, size: int) -> None:
        self._log.append(Truncate(size))
        self._file.truncate(size)

    def flush(self) -> None:
        self._log.append(Barrier())
        super().flush()


class RecordingGraph(Graph):
    """A graph whose files that may be written are recorded, from the moment they are open."""

    def __init__(self, log: list[Event]) -> None:
        self.reports: list[str] = []
        super().__init__(self.reports.append)
        self._log = log

    def open_file(
        self,
        filename: str,
        *,
        read_only: bool,
        cache: CacheMode,
        node_name: str | None = None,
        locking: bool = True,
    ) -> FileNode:
        node = super().open_file(
            filename, read_only=read_only, cache=cache, node_name=node_name, locking=locking
        )
        if not read_only:
            recording = RecordingFile(node.bytes, self._log)
            node.bytes = recording  # type: ignore[assignment]  # it quacks like a ByteFile
        return node
