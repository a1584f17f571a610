"""Which backing file an image names."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.extensions import EXTENSION_BACKING_FORMAT, MAX_BACKING_NAME
from blockdev.qcow2.header_write import extensions_of, write_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.metadata import Metadata


def change_backing(metadata: Metadata, name: str, driver: str) -> None:
    """Let the header name another backing file.

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
    extensions = [
        (magic, data)
        for magic, data in extensions_of(metadata)
        if magic != EXTENSION_BACKING_FORMAT
    ]
    if form:
        extensions.insert(0, (EXTENSION_BACKING_FORMAT, form))
    write_header(metadata, metadata.header, extensions, backing)
