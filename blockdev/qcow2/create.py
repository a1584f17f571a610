"""Makes new qcow2 images, the same as `qemu-img create` makes."""

from __future__ import annotations

import errno
import os
from array import array

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, RESIZE, WRITE, ByteFile, make_file, remove_file
from blockdev.qcow2.extensions import (
    EXTENSION_BACKING_FORMAT,
    EXTENSION_FEATURE_NAMES,
    MAX_BACKING_NAME,
    ExtensionHeader,
)
from blockdev.qcow2.header import (
    COMPRESSION_TYPE,
    EXTENDED_L2,
    LAZY_REFCOUNTS,
    MAX_L1_BYTES,
    MAX_REFCOUNT_TABLE_BYTES,
    MIN_EXTENDED_L2_BITS,
    Header,
)
from blockdev.qcow2.layout import Layout, straight_entries
from blockdev.qcow2.words import big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from blockdev.node import BlockNode

MAGIC = b"QFI\xfb"
VERSION_2_BYTES = 72
VERSION_3_BYTES = 112  # with the compression type, and padding
_SECTOR = 512
LEAST_FOR_NAMES = 8192  # clusters smaller than this get no feature names
_FEATURE_NAMES = (  # kind (0 incompatible, 1 compatible, 2 autoclear), bit, name
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
    (2, 0, b"bitmaps"),
    (2, 1, b"raw external data"),
)
_COMPRESSION_TYPES = {"zlib": 0, "zstd": 1}
_PREALLOCATIONS = ("off", "metadata", "falloc", "full")


class _Shape:
    """What an image is to look like, checked as QEMU checks it, first fault first."""

    def __init__(
        self,
        size: int,
        *,
        version: int = 3,
        cluster_size: int = 65536,
        refcount_bits: int = 16,
        extended_l2: bool = False,
        compression_type: str = "zlib",
        lazy_refcounts: bool = False,
        preallocation: str = "off",
        backing: str = "",
        backing_format: str = "",
    ) -> None:
        self.size = -(-size // _SECTOR) * _SECTOR
        self.version = version
        self.cluster_size = cluster_size
        self.extended_l2 = extended_l2
        self.compression_type = compression_type
        self.lazy_refcounts = lazy_refcounts
        self.preallocation = preallocation
        self.backing = backing.encode("utf-8", "surrogateescape")
        self.backing_format = backing_format.encode("utf-8", "surrogateescape")
        self._check_words(refcount_bits)
        self.cluster_bits = cluster_size.bit_length() - 1
        self.refcount_order = refcount_bits.bit_length() - 1
        self.l2_entry_size = 16 if extended_l2 else 8
        self.l2_entries = cluster_size // self.l2_entry_size
        self.l1_entries = -(-self.size // (cluster_size * self.l2_entries))
        if 8 * self.l1_entries > MAX_L1_BYTES:
            raise _l1_too_large(errno.EFBIG)

    def _check_words(self, refcount_bits: int) -> None:
        if self.version not in (2, 3):
            raise QemuError(f"Parameter 'version' does not accept value '{self.version}'")
        if self.preallocation not in _PREALLOCATIONS:
            text = f"Parameter 'preallocation' does not accept value '{self.preallocation}'"
            raise QemuError(text, errno.EINVAL)
        if self.compression_type not in _COMPRESSION_TYPES:
            text = f"Parameter 'compression-type' does not accept value '{self.compression_type}'"
            raise QemuError(text, errno.EINVAL)
        if self.extended_l2 and self.version < 3:
            raise _needs_version_3("Extended L2 entries are only")
        cluster_size = self.cluster_size
        if cluster_size & (cluster_size - 1) or not 512 <= cluster_size <= 2 << 20:
            text = "Cluster size must be a power of two between 512 and 2048k"
            raise QemuError(text, errno.EINVAL)
        if self.extended_l2 and cluster_size < 1 << MIN_EXTENDED_L2_BITS:
            text = "Extended L2 entries are only supported with cluster sizes of at least "
            raise QemuError(f"{text}{1 << MIN_EXTENDED_L2_BITS} bytes", errno.EINVAL)
        if self.backing and self.preallocation != "off" and not self.extended_l2:
            text = (
                "Backing file and preallocation can only be used at the same time if extended_l2 "
                "is on"
            )
            raise QemuError(text, errno.EINVAL)
        if self.backing_format and not self.backing:
            raise QemuError("Backing format cannot be used without backing file", errno.EINVAL)
        if self.lazy_refcounts and self.version < 3:
            raise _needs_version_3("Lazy refcounts only")
        if not 1 <= refcount_bits <= 64 or refcount_bits & (refcount_bits - 1):
            text = "Refcount width must be a power of two and may not exceed 64 bits"
            raise QemuError(text, errno.EINVAL)
        if refcount_bits != 16 and self.version < 3:
            text = (
                "Different refcount widths than 16 bits require compatibility level 1.1 or above "
                "(use version=v3 or greater)"
            )
            raise QemuError(text, errno.EINVAL)
        if self.compression_type != "zlib" and self.version < 3:
            raise _needs_version_3("Non-zlib compression type is only")

    def header(self, layout: Layout, l1_cluster: int) -> bytes:
        """The header with its extensions and the backing file's name."""
        compression = _COMPRESSION_TYPES[self.compression_type]
        header = Header(
            version=self.version,
            cluster_bits=self.cluster_bits,
            size=self.size,
            l1_size=self.l1_entries,
            l1_table_offset=l1_cluster * self.cluster_size,
            refcount_table_offset=self.cluster_size,
            refcount_table_clusters=layout.table_clusters,
            incompatible_features=(COMPRESSION_TYPE if compression else 0)
            | (EXTENDED_L2 if self.extended_l2 else 0),
            compatible_features=LAZY_REFCOUNTS if self.lazy_refcounts else 0,
            refcount_order=self.refcount_order,
            header_length=VERSION_3_BYTES,
        )
        extensions = b""
        if self.backing_format:
            extensions += _extension(EXTENSION_BACKING_FORMAT, self.backing_format)
        if self.version == 3 and self.cluster_size >= LEAST_FOR_NAMES:
            extensions += _extension(EXTENSION_FEATURE_NAMES, feature_names())
        extensions += bytes(ExtensionHeader.SIZE)
        fixed_bytes = VERSION_3_BYTES if self.version == 3 else VERSION_2_BYTES
        if self.backing:
            header.backing_file_offset = fixed_bytes + len(extensions)
            header.backing_file_size = len(self.backing)
        fixed = header.pack() + bytes([compression])
        whole = fixed.ljust(fixed_bytes, b"\0")[:fixed_bytes] + extensions + self.backing
        if len(self.backing) > MAX_BACKING_NAME:
            raise self._backing_refused(errno.EINVAL)
        if len(whole) > self.cluster_size:
            raise self._backing_refused(errno.ENOSPC)
        return whole

    def _backing_refused(self, value: int) -> QemuError:
        name = self.backing.decode("utf-8", "surrogateescape")
        form = self.backing_format.decode("utf-8", "surrogateescape")
        text = f"Could not assign backing file '{name}' with format '{form}': {os.strerror(value)}"
        return QemuError(text, value)


def _needs_version_3(what: str) -> QemuError:
    text = f"{what} supported with compatibility level 1.1 and above (use version=v3 or greater)"
    return QemuError(text, errno.EINVAL)


def feature_names() -> bytes:
    """The header extension with the names of all features."""
    return b"".join(bytes(pair) + name.ljust(46, b"\0") for *pair, name in _FEATURE_NAMES)


def _extension(magic: int, data: bytes) -> bytes:
    padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
    return ExtensionHeader(magic=magic, length=len(data)).pack() + padded


def create_image(
    name: str,
    size: int,
    *,
    version: int = 3,
    cluster_size: int = 65536,
    refcount_bits: int = 16,
    extended_l2: bool = False,
    compression_type: str = "zlib",
    lazy_refcounts: bool = False,
    preallocation: str = "off",
    backing: str = "",
    backing_format: str = "",
) -> None:
    """Make an empty image.

    Args:
        name: the file, which is made anew, but only when the image can be as it is asked for.
        size: bytes of the disk; rounded up to whole sectors of 512 bytes.
        version: 2 or 3.
        cluster_size: bytes, a power of two from 512 to 2 MiB; 16 KiB at least for extended L2.
        refcount_bits: width of a count, a power of two from 1 to 64.
        extended_l2: entries with subclusters.
        compression_type: ``zlib`` or ``zstd``, for clusters that will be written compressed.
        preallocation: ``off``; ``metadata`` maps all clusters; ``falloc`` takes their space on
            the host too; ``full`` writes zeros to them.
        backing: the backing file's name as it is to stand in the image; "" for none. It isn't
            looked at.
        backing_format: its driver; "" for none in the image.

    Raises:
        QemuError: an option or two don't fit, or the file can't be made; QEMU's words.
    """
    shape = _Shape(
        size,
        version=version,
        cluster_size=cluster_size,
        refcount_bits=refcount_bits,
        extended_l2=extended_l2,
        compression_type=compression_type,
        lazy_refcounts=lazy_refcounts,
        preallocation=preallocation,
        backing=backing,
        backing_format=backing_format,
    )
    image = _NewImage(shape)
    make_file(name)
    file = ByteFile(name, read_only=False)
    try:
        file.set_permissions({CONSISTENT_READ, WRITE, RESIZE}, {WRITE, RESIZE})
        image.write(file, file.preallocate)
    except QemuError:
        remove_file(name)
        raise
    finally:
        file.close()


def format_node(node: BlockNode, size: int, **options: Any) -> None:
    """Make an empty image of a node's bytes.

    Args:
        options: those of `create_image`.

    Raises:
        QemuError: an option or two don't fit, or the node can't be written.
    """

    def preallocate(offset: int, length: int, *, with_zeros: bool) -> None:
        node.preallocate(offset, length, "full" if with_zeros else "falloc")

    _NewImage(_Shape(size, **options)).write(node, preallocate)
    node.flush()
    if node.read(0, 4) != MAGIC:
        raise QemuError("Image is not in qcow2 format", errno.EINVAL)


class _NewImage:
    """All that a new image of some shape has."""

    def __init__(self, shape: _Shape) -> None:
        self._shape = shape
        table_clusters = 1
        while True:
            layout = Layout(shape.cluster_size, 1 << shape.refcount_order, table_clusters)
            self._plan = _Plan(shape, layout)
            needed = -(-8 * (max(layout.blocks) + 1) // shape.cluster_size)
            if needed <= table_clusters:
                break
            table_clusters = max(needed, table_clusters + 1)
        if table_clusters * shape.cluster_size > MAX_REFCOUNT_TABLE_BYTES:
            raise QemuError("Could not resize image: File too large", errno.EFBIG)
        self._header = shape.header(layout, self._plan.l1_cluster)

    def write(self, file: ByteFile | BlockNode, preallocate: Callable[..., object]) -> None:
        """Bring it to a file, or to a node in the place of one."""
        self._plan.write(file)
        _preallocate(preallocate, self._plan.data_runs, self._shape)
        # Last, so that a file cut short isn't taken for an image.
        # A whole cluster, as QEMU does, so that the file takes the same room on the host.
        file.write(0, [self._header.ljust(self._shape.cluster_size, b"\0")])


def check_options(
    *,
    version: int = 3,
    cluster_size: int = 65536,
    refcount_bits: int = 16,
    extended_l2: bool = False,
    compression_type: str = "zlib",
    lazy_refcounts: bool = False,
    preallocation: str = "off",
) -> None:
    """See that there can be an image with these options; they are those of `create_image`.

    Raises:
        QemuError: an option or two don't fit.
    """
    _Shape(
        0,
        version=version,
        cluster_size=cluster_size,
        refcount_bits=refcount_bits,
        extended_l2=extended_l2,
        compression_type=compression_type,
        lazy_refcounts=lazy_refcounts,
        preallocation=preallocation,
    )


class _Plan:
    """The clusters of a new image and what to write into them."""

    def __init__(self, shape: _Shape, layout: Layout) -> None:
        self._shape = shape
        self._layout = layout
        cluster_size = shape.cluster_size
        l1_clusters = -(-8 * shape.l1_entries // cluster_size)
        self.l1_cluster = layout.take(l1_clusters) if l1_clusters else 0
        self.l2_clusters: list[int] = []
        self.data_runs: list[tuple[int, int]] = []  # first cluster and count, one for each L2 table
        if shape.preallocation == "off":
            return
        left = -(-shape.size // cluster_size)
        while left:
            here = min(left, shape.l2_entries)
            self.l2_clusters.append(layout.take(1))
            self.data_runs.append((layout.take(here), here))
            left -= here

    @staticmethod
    def _make_room(
        end: int, file: ByteFile | BlockNode, fault: Callable[[QemuError], QemuError]
    ) -> None:
        """Let a file be so long at least; a node may be longer already."""
        if file.size >= end:
            return
        try:
            file.truncate(end)
        except QemuError as error:
            raise fault(error) from error

    def write(self, file: ByteFile | BlockNode) -> None:
        """Write everything but the header; the file becomes as long as it must."""
        shape, layout = self._shape, self._layout
        cluster_size = shape.cluster_size
        l1_end = self.l1_cluster * cluster_size + 8 * shape.l1_entries
        last = max([*layout.blocks.values(), *(first + n - 1 for first, n in self.data_runs)])
        self._make_room((1 + layout.table_clusters) * cluster_size, file, _no_room_for_counts)
        self._make_room(max(l1_end, (last + 1) * cluster_size), file, _no_room_for_l1)
        refcount_table = array("Q", bytes(layout.table_clusters * cluster_size))
        for index, cluster in layout.blocks.items():
            refcount_table[index] = cluster * cluster_size
            block = layout.block(index, shape.refcount_order, cluster_size)
            file.write(cluster * cluster_size, [block])
        file.write(cluster_size, [big_endian(refcount_table)])
        for cluster, (first, count) in zip(self.l2_clusters, self.data_runs, strict=True):
            entries = straight_entries(first * cluster_size, count, cluster_size)
            if shape.extended_l2:
                # No subcluster is allocated: the cluster has a place, and no data.
                words = array("Q", bytes(16 * count))
                words[::2] = entries
                entries = words
            table = big_endian(entries)
            file.write(cluster * cluster_size, [table.ljust(cluster_size, b"\0")])
        l1 = array("Q", [cluster * cluster_size | 1 << 63 for cluster in self.l2_clusters])
        l1.extend([0] * (shape.l1_entries - len(l1)))
        if l1:
            file.write(self.l1_cluster * cluster_size, [big_endian(l1)])


def _no_room_for_counts(error: QemuError) -> QemuError:
    return QemuError(f"Could not write refcount table: {error}", error.errno_value)


def _no_room_for_l1(error: QemuError) -> QemuError:
    return _l1_too_large(error.errno_value)


def _l1_too_large(value: int) -> QemuError:
    text = f"Could not resize image: Failed to grow the L1 table: {os.strerror(value)}"
    return QemuError(text, value)


def _preallocate(
    preallocate: Callable[..., object], runs: list[tuple[int, int]], shape: _Shape
) -> None:
    """Take space on the host for the runs of data clusters, or write zeros there."""
    if shape.preallocation not in ("falloc", "full"):
        return
    size = shape.cluster_size
    try:
        for first, count in runs:
            with_zeros = shape.preallocation == "full"
            preallocate(first * size, count * size, with_zeros=with_zeros)
    except QemuError as error:
        text = f"Could not resize image: Failed to resize underlying file: {error}"
        raise QemuError(text, error.errno_value) from error
