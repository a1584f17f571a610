"""New images for a disk to go on in, or to be copied to: what is said and what is made."""

from __future__ import annotations

import errno
import os

from blockdev.errors import HintedError, QemuError
from blockdev.naming import local_file, protocol_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Formats by name that QEMU makes images of, and whether those may have a backing file.
FORMATS = {
    "luks": False,
    "parallels": False,
    "qcow": True,
    "qcow2": True,
    "qed": True,
    "raw": False,
    "vdi": False,
    "vhdx": False,
    "vmdk": True,
    "vpc": False,
}
# Drivers that only open what is there.
_NOT_MADE = frozenset(
    "blkdebug bochs cloop compress copy-before-write copy-on-read dmg null-aio null-co quorum "
    "replication snapshot-access throttle vvfat".split()
)


def create_image(
    filename: str,
    driver: str,
    size: int,
    tell: Callable[[str], object],
    *,
    backing: str = "",
    backing_format: str = "",
    check_backing: Callable[[str, str], object] | None = None,
) -> None:
    """Make an image and say so, as QEMU does.

    Args:
        tell: takes text for standard output.
        backing: the backing file's name as it is to stand in the image.
        check_backing: opens that file, of a name and a format, to see that it is there.

    Raises:
        QemuError: it can't be; QEMU's words, first fault first.
    """
    check_known(driver)
    if backing and not FORMATS[driver]:
        raise QemuError(f"Backing file not supported for file format '{driver}'")
    if backing and backing == filename:
        raise QemuError(
            "Error: Trying to create an image with the same filename as the backing file"
        )
    file = local_file(filename)
    if backing and check_backing is not None:
        name = backing
        if not os.path.isabs(name) and protocol_of(name) is None:
            name = os.path.join(os.path.dirname(filename), name)
        try:
            check_backing(name, backing_format)
        except QemuError as error:
            hints = [*str(error).removeprefix(error.sentence).split("\n")[1:]]
            hints.append("Could not open backing image.")
            raise HintedError(error.sentence, "\n".join(hints), error.errno_value) from error
    if driver == "vmdk" and backing and backing_format != "vmdk":
        _say_vmdk(filename, size, tell, backing, backing_format)
    check_made(driver)
    size = -(-size // 512) * 512
    words = [f"Formatting '{filename}', fmt={driver}"]
    if driver == "qcow2":
        words.append("cluster_size=65536 extended_l2=off compression_type=zlib")
    words.append(f"size={size}")
    if backing:
        words.append(f"backing_file={_escaped(backing)}")
        words += [f"backing_fmt={backing_format}"] if backing_format else []
    if driver == "qcow2":
        words.append("lazy_refcounts=off refcount_bits=16")
    tell(" ".join(words) + "\n")
    try:
        if driver == "qcow2":
            from blockdev.qcow2.create import create_image as create_qcow2

            create_qcow2(file, size, backing=backing, backing_format=backing_format)
        else:
            from blockdev.raw_create import create_raw

            create_raw(file, size)
    except QemuError as error:
        if error.errno_value == errno.EFBIG:
            raise too_large(driver) from error
        raise


def too_large(driver: str) -> QemuError:
    """What is said where an image, or its file, can't be so large."""
    hint = " (try using a larger cluster size)" if driver == "qcow2" else ""
    text = f"The image size is too large for file format '{driver}'{hint}"
    return QemuError(text, errno.EFBIG)


def check_known(driver: str) -> None:
    """See that QEMU makes images of a format.

    Raises:
        QemuError: there is no such format, or it is only read.
    """
    if driver in _NOT_MADE:
        raise QemuError(f"Format driver '{driver}' does not support image creation")
    if driver not in FORMATS:
        raise QemuError(f"Unknown file format '{driver}'")


def check_made(driver: str) -> None:
    """See that images of a format that QEMU makes can be made here too.

    Raises:
        QemuError: they can't.
    """
    if driver not in ("qcow2", "raw"):
        text = f"Images of format '{driver}' cannot be created"
        raise QemuError(text, errno.ENOTSUP)


def _say_vmdk(
    filename: str, size: int, tell: Callable[[str], object], backing: str, backing_format: str
) -> None:
    """The one mistake with such an image that is made easily: its backing file is another."""
    tell(
        f"Formatting '{filename}', fmt=vmdk size={size} backing_file={_escaped(backing)} "
        f"backing_fmt={backing_format} compat6=off hwversion=undefined\n"
    )
    raise QemuError("backing_file must be a vmdk image", errno.EINVAL)


def _escaped(text: str) -> str:
    return text.replace(",", ",,")
