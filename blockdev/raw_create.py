"""Makes new raw images, and gives them more room."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.file import make_file

_PREALLOCATIONS = ("off", "metadata", "falloc", "full")
_ZEROS_AT_ONCE = 1 << 20
_FIRST_BLOCK = 4096


def create_raw(name: str, size: int, *, preallocation: str = "off") -> None:
    """Make a file of zeros.

    Args:
        name: the file, which is made anew.
        size: bytes; rounded up to whole sectors of 512 bytes.
        preallocation: ``off``; ``falloc`` takes the space on the host; ``full`` writes zeros.

    Raises:
        QemuError: it can't be.
    """
    if preallocation not in _PREALLOCATIONS:
        raise QemuError(f"invalid parameter value: {preallocation}", errno.EINVAL)
    size = -(-size // 512) * 512
    make_file(name)
    descriptor = os.open(os.fsencode(name), os.O_RDWR | os.O_CLOEXEC)
    try:
        if preallocation == "metadata":
            raise QemuError("Unsupported preallocation mode 'metadata'", errno.ENOTSUP)
        lengthen(descriptor, 0, size, preallocation)
    finally:
        os.close(descriptor)


def lengthen(descriptor: int, old_size: int, size: int, preallocation: str) -> None:
    """Make a file longer.

    Args:
        preallocation: as for `create_raw`.

    Raises:
        QemuError: it can't be; the file is as long as before.
    """
    try:
        if preallocation == "falloc":
            if size > old_size:
                os.posix_fallocate(descriptor, old_size, size - old_size)
        else:
            os.ftruncate(descriptor, size)
        if not old_size and preallocation != "full":
            # As QEMU: with a block at its start the file tells what alignment it needs.
            os.pwrite(descriptor, bytes(min(size, _FIRST_BLOCK)), 0)
        if preallocation == "full":
            zeros = memoryview(bytes(_ZEROS_AT_ONCE))
            for offset in range(old_size, size, _ZEROS_AT_ONCE):
                os.pwrite(descriptor, zeros[: size - offset], offset)
            os.fsync(descriptor)
    except (OSError, OverflowError) as error:
        value = getattr(error, "errno", None) or errno.EINVAL
        if preallocation != "off":
            try:
                os.ftruncate(descriptor, old_size)
            except OSError:
                pass
        what = {"falloc": "preallocate data", "full": "write zeros for preallocation"}
        text = f"Could not {what.get(preallocation, 'resize file')}: {os.strerror(value)}"
        raise QemuError(text, value) from error
