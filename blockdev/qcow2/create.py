"""Makes new qcow2 images."""

from __future__ import annotations

import errno
import os
from array import array

from blockdev.errors import QemuError
from blockdev.file import ByteFile
from blockdev.qcow2.header import (
    EXTENSION_BACKING_FORMAT,
    ExtensionHeader,
    Header,
    l1_entries_for,
)
from blockdev.qcow2.words import big_endian


def create_image(name: str, size: int, *, backing: str = "", backing_format: str = "") -> None:
    """Make an empty image of `size` bytes: version 3, 64 KiB clusters, 16-bit counts.

    Args:
        name: the file, which is made anew.
        size: bytes of the disk.
        backing: the backing file's name as it is to stand in the image; "" for none.
        backing_format: its driver.

    Raises:
        QemuError: the file can't be made.
    """
    bits = 16
    cluster_size = 1 << bits
    l1_entries = l1_entries_for(size, 2 * bits - 3)
    l1_clusters = -(-8 * l1_entries // cluster_size)
    header = Header(
        cluster_bits=bits,
        size=size,
        l1_size=l1_entries,
        l1_table_offset=3 * cluster_size,
        refcount_table_offset=cluster_size,
        refcount_table_clusters=1,
    )
    extensions = b""
    if backing_format:
        data = backing_format.encode()
        extensions += ExtensionHeader(magic=EXTENSION_BACKING_FORMAT, length=len(data)).pack()
        extensions += data.ljust(-(-len(data) // 8) * 8, b"\0")
    extensions += bytes(ExtensionHeader.SIZE)
    backing_name = backing.encode("utf-8", "surrogateescape")
    if backing_name:
        header.backing_file_offset = Header.SIZE + len(extensions)
        header.backing_file_size = len(backing_name)
    counts = array("H", bytes(cluster_size))
    for cluster in range(3 + l1_clusters):
        counts[cluster] = 1
    try:
        os.close(os.open(os.fsencode(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
    except OSError as error:
        value = error.errno or errno.EIO
        raise QemuError(f"Could not create '{name}': {os.strerror(value)}", value) from error
    file = ByteFile(name, read_only=False)
    try:
        file.truncate((3 + l1_clusters) * cluster_size)
        file.write(2 * cluster_size, [big_endian(counts)])
        file.write(cluster_size, [(2 * cluster_size).to_bytes(8, "big")])
        # Last, so that a file cut short isn't taken for an image.
        file.write(0, [header.pack() + extensions + backing_name])
    finally:
        file.close()
