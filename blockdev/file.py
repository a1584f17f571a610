"""The one room that opens disk files: positioned reads and writes, barriers, image locks.

Everything an image file is made of passes through a `ByteFile`, so a test that stands in its
place sees every write and every barrier, and can cut them short.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from blockdev.errors import HintedError, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    Buffer: TypeAlias = bytes | bytearray | memoryview

_ZEROS_AT_ONCE = 1 << 20  # bytes
_IOV_MAX = 1024  # Linux's limit of buffers in one vectored call

# Linux: locks that belong to the open file description.  They survive a fork, vanish with the
# process, and closing another descriptor of the same file doesn't drop them.
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # modes of Linux's fallocate

# Byte 100+n of the file: "I use permission n"; byte 200+n: "I don't let others have it".
CONSISTENT_READ, WRITE, RESIZE = 0, 1, 3
PERMISSION_NAMES = {0: "consistent read", 1: "write", 2: "write unchanged", 3: "resize"}
_USES, _DENIES = 100, 200


def io_error(error: OSError | OverflowError) -> QemuError:
    """The errno of a failed read or write, in the C library's words.

    An offset that no file has, from a damaged table, is an I/O error as in QEMU.
    """
    value = (isinstance(error, OSError) and error.errno) or errno.EIO
    return QemuError(os.strerror(value), value)


def make_file(name: str) -> None:
    """Make a file, or an empty one of one that there is, unless somebody uses that.

    Raises:
        QemuError: ``Could not create 'NAME': WHY``, or a lock can't be had.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        os.close(os.open(os.fsencode(name), flags, 0o644))
    except (OSError, ValueError) as error:
        value = getattr(error, "errno", None) or errno.EINVAL
        raise QemuError(f"Could not create '{name}': {os.strerror(value)}", value) from error
    file = ByteFile(name, read_only=False)
    try:
        file.set_permissions({WRITE, RESIZE}, {RESIZE})
        file.truncate(0)
    finally:
        file.close()


def remove_file(name: str) -> None:
    """Remove what was made in vain, unless it is a device or is gone."""
    try:
        if stat.S_ISREG(os.stat(name).st_mode):
            os.unlink(name)
    except OSError:
        pass


def _not_regular(name: str) -> QemuError:
    return QemuError(f"'file' driver requires '{name}' to be a regular file", errno.EINVAL)


class ByteFile:
    """An open disk file.

    Args:
        name: the file's name as the user gave it; messages show it.
        read_only: open without the right to write.
        locking: take QEMU's image locks when `set_permissions` is called.

    Raises:
        QemuError: ``Could not open 'NAME': WHY``.
    """

    def __init__(self, name: str, *, read_only: bool, locking: bool = True) -> None:
        self.name = name
        self.read_only = read_only
        self._locking = locking
        self._locked: frozenset[int] = frozenset()
        # Not to wait for the other side of a pipe, which a stranger's file could name.
        flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._descriptor = os.open(os.fsencode(name), flags)
        except IsADirectoryError as error:
            raise _not_regular(name) from error
        except (OSError, ValueError) as error:
            value = getattr(error, "errno", None) or errno.EINVAL
            text = f"Could not open '{name}': {os.strerror(value)}"
            raise QemuError(text, value) from error
        mode = os.fstat(self._descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode)):
            os.close(self._descriptor)
            raise _not_regular(name)
        os.set_blocking(self._descriptor, True)
        self._needs_flush = False

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        try:
            return os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:  # a device that has no end
            value = error.errno or errno.EIO
            text = f"Could not refresh total sector count: {os.strerror(value)}"
            raise QemuError(text, value) from error

    @property
    def identity(self) -> tuple[int, int]:
        """What tells the file from all others, whatever its name: device and inode."""
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    @property
    def allocated_bytes(self) -> int:
        """Bytes that the file takes on its file system; holes take none."""
        return os.fstat(self._descriptor).st_blocks * 512

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; what lies past the end of the file reads as zeros."""
        try:
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size:
                more = os.pread(self._descriptor, size - len(data), offset + len(data))
                if not more:
                    return data + bytes(size - len(data))
                data += more
        except (OSError, OverflowError) as error:
            raise io_error(error) from error
        return data

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`; what lies past the end of the file becomes zeros."""
        try:
            done = os.preadv(self._descriptor, [view], offset)
            while done < len(view):
                more = os.preadv(self._descriptor, [view[done:]], offset + done)
                if not more:
                    view[done:] = bytes(len(view) - done)
                    return
                done += more
        except (OSError, OverflowError) as error:
            raise io_error(error) from error

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers one after the other from `offset` on."""
        self._needs_flush = True
        try:
            for start in range(0, len(buffers), _IOV_MAX):
                piece = buffers[start : start + _IOV_MAX]
                wanted = sum(map(len, piece))
                done = os.pwritev(self._descriptor, piece, offset)
                offset += done
                if done < wanted:
                    self._write_rest(offset, b"".join(piece)[done:])
                    offset += wanted - done
        except (OSError, OverflowError) as error:
            raise io_error(error) from error

    def _write_rest(self, offset: int, rest: bytes) -> None:
        while rest:
            done = os.pwrite(self._descriptor, rest, offset)
            offset += done
            rest = rest[done:]

    def extent(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether there is data at an offset, or a hole, and for how many of `size` bytes."""
        try:
            start = os.lseek(self._descriptor, offset, os.SEEK_DATA)
            if start > offset:
                return False, min(size, start - offset)
            end = os.lseek(self._descriptor, offset, os.SEEK_HOLE)
        except OSError as error:
            # Nothing but a hole up to the end; or the file can't tell.
            return error.errno != errno.ENXIO, size
        return True, min(size, end - offset) or size

    def flush(self) -> None:
        """A barrier: what was written before it is on the disk before anything written after it."""
        if not self._needs_flush:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise io_error(error) from error
        self._needs_flush = False

    def truncate(self, size: int) -> None:
        """Cut or lengthen the file; new bytes are zeros."""
        self._needs_flush = True
        try:
            os.ftruncate(self._descriptor, size)
        except (OSError, OverflowError) as error:
            raise io_error(error) from error

    def preallocate(self, offset: int, size: int, *, with_zeros: bool) -> None:
        """Take room on the file system, or write zeros.

        Raises:
            QemuError: there isn't so much.
        """
        what = "write zeros for preallocation" if with_zeros else "preallocate new data"
        self._needs_flush = True
        try:
            if not with_zeros:
                if size:
                    os.posix_fallocate(self._descriptor, offset, size)
                return
            zeros = memoryview(bytes(_ZEROS_AT_ONCE))
            end = offset + size
            while offset < end:
                offset += os.pwrite(self._descriptor, zeros[: end - offset], offset)
        except (OSError, OverflowError) as error:
            value = getattr(error, "errno", None) or errno.EINVAL
            raise QemuError(f"Could not {what}: {os.strerror(value)}", value) from error

    def punch(self, offset: int, size: int) -> bool:
        """Make a hole, which reads as zeros; False where the file system has none."""
        import ctypes

        self._needs_flush = True
        offset_t = ctypes.c_int64
        call = ctypes.CDLL(None, use_errno=True).fallocate64
        mode = _KEEP_SIZE | _PUNCH_HOLE
        return not call(self._descriptor, mode, offset_t(offset), offset_t(size))

    def reopen(self, *, read_only: bool) -> None:
        """Open the same file with or without the right to write, and keep its locks.

        Raises:
            QemuError: that can't be; all is as before.
        """
        flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
        try:
            # Not by its name, which may be another file's by now, or nobody's.
            descriptor = os.open(f"/proc/self/fd/{self._descriptor}", flags)
        except OSError as error:
            raise QemuError(
                f"Could not reopen file: {os.strerror(error.errno or errno.EIO)}",
                error.errno or errno.EIO,
            ) from error
        # The new locks come before the old ones go, so that nobody gets in between.
        old, self._descriptor = self._descriptor, descriptor
        for byte in sorted(self._locked):
            self._lock(byte, fcntl.F_RDLCK)
        os.close(old)
        self.read_only = read_only

    def close(self) -> None:
        """Close the file; its locks go with it."""
        os.close(self._descriptor)

    def set_permissions(self, uses: Iterable[int], denies: Iterable[int]) -> None:
        """Hold QEMU's lock bytes for what we use and what we don't let others have.

        New bytes are taken first, then others' bytes are looked at, and only then surplus ones are
        released, so that a refusal leaves the file as it was.

        Raises:
            QemuError: another process holds a permission we deny, or denies one we use.
        """
        if not self._locking:
            return
        uses, denies = frozenset(uses), frozenset(denies)
        wanted = frozenset({_USES + n for n in uses} | {_DENIES + n for n in denies})
        for byte in sorted(wanted - self._locked):
            self._lock(byte, fcntl.F_RDLCK)
        try:
            for n in sorted(uses):
                if self._is_locked_elsewhere(_DENIES + n):
                    raise self._refusal(PERMISSION_NAMES[n])
            for n in sorted(denies):
                if self._is_locked_elsewhere(_USES + n):
                    raise self._refusal(f'shared "{PERMISSION_NAMES[n]}"', quoted=True)
        except QemuError:
            for byte in wanted - self._locked:
                self._lock(byte, fcntl.F_UNLCK)
            raise
        for byte in self._locked - wanted:
            self._lock(byte, fcntl.F_UNLCK)
        self._locked = wanted

    def _refusal(self, permission: str, *, quoted: bool = False) -> QemuError:
        shown = permission if quoted else f'"{permission}"'
        return HintedError(
            f"Failed to get {shown} lock",
            f"Is another process using the image [{self.name}]?",
            errno.EAGAIN,
        )

    def _lock(self, byte: int, kind: int) -> None:
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0)
        try:
            fcntl.fcntl(self._descriptor, _F_OFD_SETLK, request)
        except OSError as error:
            raise QemuError(f"Failed to lock byte {byte}", error.errno or 0) from error

    def _is_locked_elsewhere(self, byte: int) -> bool:
        """Whether a write lock on the byte would be refused, which is how conflicts are seen."""
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        answer = fcntl.fcntl(self._descriptor, _F_OFD_GETLK, request)
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return kind != fcntl.F_UNLCK
