"""What the bytes at the start of a qcow2 image say.

Source: qcow2 specification, "Header", "Header extensions"; the order of the checks and their
words are QEMU's, so that an image with several faults gets the same sentence.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.wire import Record, wire

MAGIC = 0x514649FB  # "QFI\xfb"

MIN_CLUSTER_BITS, MAX_CLUSTER_BITS = 9, 21
MAX_L1_BYTES = 32 << 20
MAX_REFCOUNT_TABLE_BYTES = 8 << 20
MAX_SNAPSHOTS = 65536
MAX_SNAPSHOT_TABLE_BYTES = 64 << 20
MAX_BACKING_NAME = 1023

# incompatible_features
DIRTY, CORRUPT, EXTERNAL_DATA, COMPRESSION_TYPE, EXTENDED_L2 = (1 << n for n in range(5))
KNOWN_INCOMPATIBLE = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2
# compatible_features
LAZY_REFCOUNTS = 1

EXTENSION_END = 0x00000000
EXTENSION_BACKING_FORMAT = 0xE2792ACA
EXTENSION_FEATURE_NAMES = 0x6803F857


class Header(Record):
    """The header up to version 3's last fixed field.  Source: qcow2 specification, "Header"."""

    magic: int = wire("u32", default=MAGIC)
    version: int = wire("u32", default=3)
    backing_file_offset: int = wire("u64", default=0)
    backing_file_size: int = wire("u32", default=0)
    cluster_bits: int = wire("u32", default=16)
    size: int = wire("u64")
    crypt_method: int = wire("u32", default=0)
    l1_size: int = wire("u32")
    l1_table_offset: int = wire("u64")
    refcount_table_offset: int = wire("u64")
    refcount_table_clusters: int = wire("u32")
    nb_snapshots: int = wire("u32", default=0)
    snapshots_offset: int = wire("u64", default=0)
    incompatible_features: int = wire("u64", default=0)
    compatible_features: int = wire("u64", default=0)
    autoclear_features: int = wire("u64", default=0)
    refcount_order: int = wire("u32", default=4)
    header_length: int = wire("u32", default=104)


class ExtensionHeader(Record):
    """What stands before each header extension; the data is padded to 8 bytes."""

    magic: int = wire("u32")
    length: int = wire("u32")


class ImageFormatError(QemuError):
    """The image can't be what its header says."""

    def __init__(self, text: str, errno_value: int = errno.EINVAL) -> None:
        super().__init__(text, errno_value)


def read_header(data: bytes, *, read_only: bool) -> Header:
    """Unpack and check a header.

    Args:
        data: the start of the file, `Header.SIZE` bytes or more (zeros past the end of the file).
        read_only: whether the image is opened without writing, which a corrupt one needs.

    Raises:
        ImageFormatError: in QEMU's words, for the first fault found in QEMU's order.
    """
    header = Header.unpack(data)
    if header.magic != MAGIC:
        raise ImageFormatError("Image is not in qcow2 format")
    if header.version not in (2, 3):
        raise ImageFormatError(f"Unsupported qcow2 version {header.version}", errno.ENOTSUP)
    bits = header.cluster_bits
    if not MIN_CLUSTER_BITS <= bits <= MAX_CLUSTER_BITS:
        raise ImageFormatError(f"Unsupported cluster size: 2^{bits}")
    if header.version == 3:
        if header.header_length < Header.SIZE:
            raise ImageFormatError("qcow2 header too short")
        if header.header_length > 1 << bits:
            raise ImageFormatError("qcow2 header exceeds cluster size")
    if header.backing_file_offset > 1 << bits:
        raise ImageFormatError("Invalid backing file offset")
    if header.version == 3:
        _check_features(header, read_only=read_only)
        if header.refcount_order > 6:
            raise ImageFormatError("Reference count entry width too large; may not exceed 64 bits")
    if header.crypt_method > 2:
        raise ImageFormatError(f"Unsupported encryption method {header.crypt_method}")
    _check_tables(header)
    _check_supported(header)
    return header


def _check_features(header: Header, *, read_only: bool) -> None:
    unknown = header.incompatible_features & ~KNOWN_INCOMPATIBLE
    if unknown:
        raise ImageFormatError(
            f"Unsupported qcow2 feature(s): Unknown incompatible feature: {unknown:x}",
            errno.ENOTSUP,
        )
    if header.incompatible_features & CORRUPT and not read_only:
        raise ImageFormatError("qcow2: Image is corrupt; cannot be opened read/write", errno.EACCES)


def _check_tables(header: Header) -> None:
    mask = (1 << header.cluster_bits) - 1
    if header.refcount_table_clusters > MAX_REFCOUNT_TABLE_BYTES >> header.cluster_bits:
        raise ImageFormatError("Reference count table too large", errno.EFBIG)
    if header.refcount_table_offset & mask or header.refcount_table_offset >> 63:
        raise ImageFormatError("Reference count table offset invalid")
    if header.refcount_table_clusters == 0:
        raise ImageFormatError("Image does not contain a reference count table")
    if header.nb_snapshots > MAX_SNAPSHOTS:
        raise ImageFormatError("Snapshot table too large", errno.EFBIG)
    if header.nb_snapshots and (header.snapshots_offset & mask or header.snapshots_offset >> 63):
        raise ImageFormatError("Snapshot table offset invalid")
    if header.l1_size > MAX_L1_BYTES // 8:
        raise ImageFormatError("Active L1 table too large", errno.EFBIG)
    if header.l1_size and (header.l1_table_offset & mask or header.l1_table_offset >> 63):
        raise ImageFormatError("Active L1 table offset invalid")
    needed = l1_entries_for(header.size, header.cluster_bits)
    if needed > 0x7FFFFFFF:
        raise ImageFormatError("Image is too big", errno.EFBIG)
    if header.l1_size < needed:
        raise ImageFormatError("L1 table is too small")


def _check_supported(header: Header) -> None:
    """Refuse, before anything is touched, what this engine doesn't read yet."""
    if header.version != 3:
        missing = "version 2"
    elif header.cluster_bits != 16:
        missing = f"a cluster size of {1 << header.cluster_bits} bytes"
    elif header.refcount_order != 4:
        missing = f"reference counts of {1 << header.refcount_order} bits"
    elif header.crypt_method:
        missing = "encryption"
    elif header.incompatible_features & EXTERNAL_DATA:
        missing = "an external data file"
    elif header.incompatible_features & COMPRESSION_TYPE:
        missing = "another compression type than zlib"
    elif header.incompatible_features & EXTENDED_L2:
        missing = "extended L2 entries"
    elif header.incompatible_features & DIRTY:
        missing = "reference counts that need a repair"
    else:
        return
    raise ImageFormatError(f"qcow2 images with {missing} are not supported yet", errno.ENOTSUP)


def l1_entries_for(size: int, cluster_bits: int) -> int:
    """How many L1 entries map a disk of `size` bytes; its machine state begins after them."""
    span_bits = cluster_bits + cluster_bits - 3
    return -(-size >> span_bits)


def read_extensions(data: bytes, header: Header) -> list[tuple[int, bytes]]:
    """The header extensions as (magic, data), in order, the unknown ones too.

    Args:
        data: the image's first cluster.
    """
    found: list[tuple[int, bytes]] = []
    offset = header.header_length
    end = header.backing_file_offset or len(data)
    while offset + ExtensionHeader.SIZE <= end:
        extension = ExtensionHeader.unpack(data, offset)
        if extension.magic == EXTENSION_END:
            break
        offset += ExtensionHeader.SIZE
        if extension.length > end - offset:
            raise ImageFormatError("Header extension too large")
        found.append((extension.magic, data[offset : offset + extension.length]))
        offset += -(-extension.length // 8) * 8
    return found


def read_backing_name(data: bytes, header: Header) -> str:
    """The backing file's name as it stands in the first cluster; "" when there is none."""
    if not header.backing_file_offset:
        return ""
    length = header.backing_file_size
    room = (1 << header.cluster_bits) - header.backing_file_offset
    if length > min(MAX_BACKING_NAME, room):
        raise ImageFormatError("Backing file name too long")
    name = data[header.backing_file_offset : header.backing_file_offset + length]
    return name.split(b"\0")[0].decode("utf-8", "surrogateescape")
