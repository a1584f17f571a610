"""Which backing file an image names."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.extensions import (
    EXTENSION_BACKING_FORMAT,
    MAX_BACKING_NAME,
    ExtensionHeader,
    read_extensions,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.metadata import Metadata


def change_backing(metadata: Metadata, name: str, driver: str) -> None:
    """Let the header name another backing file.

    The header, its extensions and the name are written at once, as QEMU does: in all but odd
    images they lie in the file's first 4 KiB, which a disk has old or new.

    Args:
        name: "" for none.
        driver: its format; "" for none in the image.

    Raises:
        QemuError: there is no room for it, or it can't be written; the old name stays.
    """
    backing, form = (text.encode("utf-8", "surrogateescape") for text in (name, driver))
    if len(backing) > MAX_BACKING_NAME:
        raise QemuError("Invalid argument", errno.EINVAL)
    metadata.write_back()
    file, old = metadata.file, metadata.header
    file.flush()
    first_cluster = file.read(0, metadata.cluster_size)
    extensions = [
        (magic, data)
        for magic, data in read_extensions(first_cluster, old)
        if magic != EXTENSION_BACKING_FORMAT
    ]
    if form:
        extensions.insert(0, (EXTENSION_BACKING_FORMAT, form))
    packed = b"".join(
        ExtensionHeader(magic=magic, length=len(data)).pack() + data + bytes(-len(data) % 8)
        for magic, data in extensions
    )
    packed += bytes(ExtensionHeader.SIZE)
    offset = old.header_length + len(packed) if backing else 0
    header = old.replace(backing_file_offset=offset, backing_file_size=len(backing))
    # Fields of the header that we don't know are kept.
    known = header.pack()[: old.header_length]
    fixed = known + first_cluster[len(known) : old.header_length]
    whole = fixed + packed + backing
    if len(whole) > metadata.cluster_size:
        raise QemuError("No space left on device", errno.ENOSPC)
    file.write(0, [whole])
    metadata.header = header
    file.flush()
