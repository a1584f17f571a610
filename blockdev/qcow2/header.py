"""What the bytes at the start of a qcow2 image say.

Source: qcow2 specification, "Header"; the order of the checks and their
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

MIN_EXTENDED_L2_BITS = 14
SUBCLUSTERS = 32  # in a cluster of an image with extended L2 entries

# What a version 2 header means where it has nothing.
_VERSION_2 = {
    "incompatible_features": 0,
    "compatible_features": 0,
    "autoclear_features": 0,
    "refcount_order": 4,
    "header_length": 72,
}
_COMPRESSION_TYPE_OFFSET = 104  # a byte of its own, there if the header is that long

# incompatible_features
DIRTY, CORRUPT, EXTERNAL_DATA, COMPRESSION_TYPE, EXTENDED_L2 = (1 << n for n in range(5))
KNOWN_INCOMPATIBLE = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2
# compatible_features
LAZY_REFCOUNTS = 1
# autoclear_features
BITMAPS = 1

ZLIB, ZSTD = 0, 1


class Header(Record):
    """The header up to version 3's last fixed field.  Source: qcow2 specification, "Header".

    A version 2 header ends before ``incompatible_features``; its further fields have the values
    that version 2 means.
    """

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


class ImageFormatError(QemuError):
    """The image can't be what its header says."""

    def __init__(self, text: str, errno_value: int = errno.EINVAL) -> None:
        super().__init__(text, errno_value)


def read_header(data: bytes, *, read_only: bool) -> Header:
    """Unpack and check a header.

    Args:
        data: the start of the file, `Header.SIZE` bytes or more (zeros past the end of the file);
            names of unknown features are looked for in it.
        read_only: whether the image is opened without writing, which a corrupt one needs.

    Raises:
        ImageFormatError: in QEMU's words, for the first fault found in QEMU's order.
    """
    header = Header.unpack(data.ljust(Header.SIZE, b"\0"))
    if header.magic != MAGIC:
        raise ImageFormatError("Image is not in qcow2 format")
    if header.version not in (2, 3):
        raise ImageFormatError(f"Unsupported qcow2 version {header.version}", errno.ENOTSUP)
    if header.version == 2:
        header = header.replace(**_VERSION_2)
    bits = header.cluster_bits
    if not MIN_CLUSTER_BITS <= bits <= MAX_CLUSTER_BITS:
        raise ImageFormatError(f"Unsupported cluster size: 2^{bits}")
    if header.version == 3 and header.header_length < Header.SIZE:
        raise ImageFormatError("qcow2 header too short")
    if header.header_length > 1 << bits:
        raise ImageFormatError("qcow2 header exceeds cluster size")
    if header.backing_file_offset > 1 << bits:
        raise ImageFormatError("Invalid backing file offset")
    _check_features(header, data, read_only=read_only)
    _check_compression(header, data)
    if header.incompatible_features & EXTENDED_L2 and bits < MIN_EXTENDED_L2_BITS:
        raise ImageFormatError(f"Unsupported subcluster size: {(1 << bits) // SUBCLUSTERS}")
    if header.refcount_order > 6:
        raise ImageFormatError("Reference count entry width too large; may not exceed 64 bits")
    if header.crypt_method > 2:
        # QEMU takes the number for a signed one.
        method = header.crypt_method - (1 << 32 if header.crypt_method >> 31 else 0)
        raise ImageFormatError(f"Unsupported encryption method {method}")
    _check_tables(header)
    _check_supported(header)
    return header


def _check_features(header: Header, data: bytes, *, read_only: bool) -> None:
    unknown = header.incompatible_features & ~KNOWN_INCOMPATIBLE
    if unknown:
        from blockdev.qcow2.extensions import incompatible_feature_names

        named = incompatible_feature_names(data, header)
        names = [name for bit, name in named if unknown >> bit & 1]
        nameless = unknown & ~sum({1 << bit for bit, _ in named})
        if nameless:
            names.append(f"Unknown incompatible feature: {nameless:x}")
        text = f"Unsupported qcow2 feature(s): {', '.join(names)}"
        raise ImageFormatError(text, errno.ENOTSUP)
    if header.incompatible_features & CORRUPT and not read_only:
        raise ImageFormatError("qcow2: Image is corrupt; cannot be opened read/write", errno.EACCES)


def compression_type(header: Header, data: bytes) -> int:
    """0 for zlib, 1 for zstd; `data` is the start of the file."""
    if header.header_length <= _COMPRESSION_TYPE_OFFSET:
        return ZLIB
    return data[_COMPRESSION_TYPE_OFFSET] if len(data) > _COMPRESSION_TYPE_OFFSET else ZLIB


def _check_compression(header: Header, data: bytes) -> None:
    kind = compression_type(header, data)
    has_bit = bool(header.incompatible_features & COMPRESSION_TYPE)
    if kind not in (ZLIB, ZSTD):
        raise ImageFormatError(f"qcow2: unknown compression type: {kind}", errno.ENOTSUP)
    if has_bit != (kind != ZLIB):
        what = "must be set" if kind != ZLIB else "must not be set"
        raise ImageFormatError(f"qcow2: Compression type incompatible feature bit {what}")


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
    needed = l1_entries_for(header.size, l2_span_bits(header))
    if needed > 0x7FFFFFFF:
        raise ImageFormatError("Image is too big", errno.EFBIG)
    if header.l1_size < needed:
        raise ImageFormatError("L1 table is too small")


def _check_supported(header: Header) -> None:
    """Refuse, before anything is touched, what this engine doesn't do."""
    if header.crypt_method:
        missing = "encryption"
    elif header.incompatible_features & EXTERNAL_DATA:
        missing = "an external data file"
    else:
        return
    raise ImageFormatError(f"qcow2 images with {missing} are not supported", errno.ENOTSUP)


def l2_span_bits(header: Header) -> int:
    """Log2 of the bytes of disk that one L1 entry stands for."""
    entry_bits = 4 if header.incompatible_features & EXTENDED_L2 else 3
    return header.cluster_bits + header.cluster_bits - entry_bits


def l1_entries_for(size: int, span_bits: int) -> int:
    """How many L1 entries map a disk of `size` bytes; its machine state begins after them."""
    return -(-size >> span_bits)
