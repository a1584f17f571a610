"""Parts of memory into files, as they are."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.memory import MemoryFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    Progress = tuple[int, int]  # done, total: bytes

    class Readable(Protocol):
        """Physical memory, or memory as a CPU sees it."""

        def read(self, address: int, size: int) -> bytes: ...


_ADDRESS_END = 1 << 64
_CHUNK = 1024  # bytes that a CPU's memory is read at a time: where one of them is missing, all are
_STRIDE = 1 << 16  # bytes of physical memory that are read in a step
_PAGE = 4096  # bytes; whatever is mapped begins at a multiple of it


def save_virtual(cpu: Readable, start: int, size: int, filename: str) -> Iterator[Progress]:
    """Write memory as a CPU sees it into a new file, a step for each chunk.

    Raises:
        QemuError: nothing is there, or the file can't be written.
    """
    return _save(filename, size, _cpu_chunks(cpu, start % _ADDRESS_END, size))


def save_physical(memory: Readable, start: int, size: int, filename: str) -> Iterator[Progress]:
    """Likewise physical memory, in which zeros stand where nothing is.

    Raises:
        QemuError: the file can't be written.
    """
    return _save(filename, size, _physical_chunks(memory, start % _ADDRESS_END, size))


def _cpu_chunks(source: Readable, start: int, size: int) -> Iterator[bytes]:
    for done in range(0, size, _CHUNK):
        count = min(size - done, _CHUNK)
        try:
            yield source.read((start + done) % _ADDRESS_END, count)
        except MemoryFault as fault:
            raise QemuError(f"Invalid addr 0x{start:016x}/size {size} specified") from fault


def _physical_chunks(memory: Readable, start: int, size: int) -> Iterator[bytes]:
    for done in range(0, size, _STRIDE):
        yield read_or_zero(memory, (start + done) % _ADDRESS_END, min(size - done, _STRIDE))


def _save(filename: str, size: int, chunks: Iterator[bytes]) -> Iterator[Progress]:
    """Write memory into a new file, a step for each chunk."""
    done = 0
    try:
        file = open(filename, "wb")  # noqa: SIM115 - errors of opening and writing differ
    except OSError as error:
        raise QemuError(f"Could not open '{filename}': {error.strerror}") from error
    try:
        with file:
            for chunk in chunks:
                file.write(chunk)
                done += len(chunk)
                yield done, size
    except OSError as error:
        raise QemuError("An IO error has occurred") from error


def read_or_zero(memory: Readable, address: int, size: int) -> bytes:
    """Memory as a device would see it: where nothing is mapped, zeros."""
    data = bytearray()
    while len(data) < size:
        position = (address + len(data)) % _ADDRESS_END
        count = min(size - len(data), _ADDRESS_END - position)
        try:
            data += memory.read(position, count)
        except MemoryFault as fault:
            mapped = fault.address - position
            data += memory.read(position, mapped) if mapped else b""
            hole = min(count - mapped, _PAGE - fault.address % _PAGE)
            data += bytes(hole)
    return bytes(data)
