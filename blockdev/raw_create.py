"""Makes new raw images."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.file import ByteFile, make_file

_PREALLOCATIONS = ("off", "metadata", "falloc", "full")
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
    file = ByteFile(name, read_only=False)
    try:
        if preallocation == "metadata":
            text = f"Unsupported preallocation mode: {preallocation}"
            raise QemuError(text, errno.ENOTSUP)
        if preallocation != "falloc":
            _lengthen(file, size)
        if preallocation != "off":
            file.preallocate(0, size, with_zeros=preallocation == "full")
        if preallocation != "full":
            # As QEMU: with a block at its start the file tells what alignment it needs.
            file.write(0, [bytes(min(size, _FIRST_BLOCK))])
    finally:
        file.close()


def _lengthen(file: ByteFile, size: int) -> None:
    try:
        if size >> 63:
            raise QemuError(os.strerror(errno.EINVAL), errno.EINVAL)
        file.truncate(size)
    except QemuError as error:
        text = f"Could not resize file: {error}"
        raise QemuError(text, error.errno_value) from error
