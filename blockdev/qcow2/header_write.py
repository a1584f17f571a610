"""Writes an image's header anew, with its extensions and the backing file's name.

All of it is written at once, as QEMU does: in all but odd images it lies in the file's first
4 KiB, which a disk has old or new.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.extensions import ExtensionHeader, read_extensions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.qcow2.header import Header
    from blockdev.qcow2.metadata import Metadata


def extensions_of(metadata: Metadata) -> list[tuple[int, bytes]]:
    """The extensions of an image as its file has them: magic and data."""
    first_cluster = metadata.file.read(0, metadata.cluster_size)
    return read_extensions(first_cluster, metadata.header)


def write_header(
    metadata: Metadata, header: Header, extensions: Sequence[tuple[int, bytes]], backing: bytes
) -> None:
    """Write a header and what follows it, behind a barrier for all before it.

    Args:
        header: but for the place of the backing file's name.
        backing: the backing file's name, b"" for none.

    Raises:
        QemuError: there is no room for it, or it can't be written; the old one stays.
    """
    file, old = metadata.file, metadata.header
    packed = b"".join(
        ExtensionHeader(magic=magic, length=len(data)).pack() + data + bytes(-len(data) % 8)
        for magic, data in extensions
    )
    packed += bytes(ExtensionHeader.SIZE)
    offset = header.header_length + len(packed) if backing else 0
    header = header.replace(backing_file_offset=offset, backing_file_size=len(backing))
    # Fields of the header that we don't know are kept.
    known = header.pack()[: header.header_length]
    rest = b""
    if old.version == header.version:
        rest = file.read(len(known), old.header_length - len(known))
    fixed = (known + rest).ljust(header.header_length, b"\0")
    whole = fixed + packed + backing
    if len(whole) > metadata.cluster_size:
        raise QemuError("No space left on device", errno.ENOSPC)
    file.flush()
    file.write(0, [whole])
    metadata.header = header
    file.flush()
