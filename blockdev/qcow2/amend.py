"""Changes what an image is: its version, the width of its refcounts, lazy refcounts."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.node_bitmap import remove_bitmap
from blockdev.qcow2.create import (
    LEAST_FOR_NAMES,
    VERSION_2_BYTES,
    VERSION_3_BYTES,
    feature_names,
)
from blockdev.qcow2.entries import COMPRESSED, OFFSET_MASK, ZERO
from blockdev.qcow2.extensions import EXTENSION_BACKING_FORMAT, EXTENSION_FEATURE_NAMES
from blockdev.qcow2.header import COMPRESSION_TYPE, DIRTY, LAZY_REFCOUNTS
from blockdev.qcow2.header_write import extensions_of, write_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.qcow2.image import Image
    from blockdev.qcow2.lookup import Lookup
    from blockdev.qcow2.tables import L2Table

_VERSION_2_ORDER = 4  # log2 of a count's bits in version 2


def amend(
    image: Image,
    *,
    version: int | None = None,
    lazy_refcounts: bool | None = None,
    refcount_bits: int | None = None,
    size: int | None = None,
) -> None:
    """Change an image that is open for writing; None leaves as it is.

    Args:
        version: 2 or 3.
        size: of the disk, bytes.

    Raises:
        QemuError: it can't be; what came before it in this order has been changed: version 3,
            width, lazy refcounts, size, version 2.
    """
    header = image.header
    version = header.version if version is None else version
    old_bits = 1 << header.refcount_order
    bits = old_bits if refcount_bits is None else refcount_bits
    if not 1 <= bits <= 64 or bits & (bits - 1):
        text = "Refcount width must be a power of two and may not exceed 64 bits"
        raise QemuError(text, errno.EINVAL)
    if version > header.version:
        _upgrade(image)
    if bits != old_bits:
        if version < 3:
            raise QemuError(
                "Refcount widths other than 16 bits require compatibility level 1.1 or above "
                "(use compat=1.1 or greater)",
                errno.EINVAL,
            )
        _change_width(image, bits.bit_length() - 1)
    if lazy_refcounts is not None:
        _set_lazy(image, lazy_refcounts, version=version)
    if size is not None and size != image.size:
        image.truncate(size)
    if version < image.header.version:
        _downgrade(image)


def _set_lazy(image: Image, wanted: bool, *, version: int) -> None:
    header = image.header
    features = header.compatible_features & ~LAZY_REFCOUNTS
    if wanted:
        if version < 3:
            raise QemuError(
                "Lazy refcounts only supported with compatibility level 1.1 and above (use "
                "compat=1.1 or greater)",
                errno.EINVAL,
            )
        features |= LAZY_REFCOUNTS
    if features != header.compatible_features:
        name = "compatible_features"
        image.metadata.switch_header(name, name, compatible_features=features)
        image.file.flush()


def _change_width(image: Image, order: int) -> None:
    from blockdev.qcow2.repair import change_refcount_width

    image.flush()
    change_refcount_width(image.file, order)
    image.reload()


def _upgrade(image: Image) -> None:
    metadata = image.metadata
    metadata.write_back()
    header = image.header.replace(
        version=3,
        header_length=VERSION_3_BYTES,
        incompatible_features=0,
        compatible_features=0,
        autoclear_features=0,
        refcount_order=_VERSION_2_ORDER,
    )
    extensions = extensions_of(metadata)
    if image.cluster_size >= LEAST_FOR_NAMES:
        extensions.append((EXTENSION_FEATURE_NAMES, feature_names()))
    write_header(metadata, header, extensions, _backing(image))


def _downgrade(image: Image) -> None:
    metadata, header = image.metadata, image.header
    if header.refcount_order != _VERSION_2_ORDER:
        raise QemuError("compat=0.10 requires refcount_bits=16", errno.ENOTSUP)
    features = header.incompatible_features & ~DIRTY
    snapshots = metadata.snapshot_table.entries
    lookups: list[Lookup] = [metadata.active]
    for snapshot in snapshots:
        if snapshot.disk_size != image.size or snapshot.vm_state_size >> 32:
            raise QemuError("Internal snapshots prevent downgrade of image", errno.ENOTSUP)
        lookups.append(metadata.mapping(metadata.snapshot_table.read_l1(snapshot)))
    if not any(map(_has_compressed, lookups)):
        features &= ~COMPRESSION_TYPE  # which nothing was done with so far
    if features:
        text = f"Cannot downgrade an image with incompatible features {features:#x} set"
        raise QemuError(text, errno.ENOTSUP)
    for bitmap in image.bitmap_store.kept:
        remove_bitmap(image, bitmap)
    _expand_zeros(image, lookups)
    image.flush()
    extensions = [item for item in extensions_of(metadata) if item[0] == EXTENSION_BACKING_FORMAT]
    header = image.header.replace(version=2, header_length=VERSION_2_BYTES)
    header = header.replace(incompatible_features=0, compatible_features=0, autoclear_features=0)
    write_header(metadata, header, extensions, _backing(image))


def _backing(image: Image) -> bytes:
    return image.backing_name.encode("utf-8", "surrogateescape")


def _tables(lookup: Lookup) -> Iterator[L2Table]:
    for index in range(len(lookup.l1)):
        table = lookup.l2_table(index)
        if table is not None:
            yield table


def _has_compressed(lookup: Lookup) -> bool:
    return any(entry & COMPRESSED for table in _tables(lookup) for entry in table.words)


def _expand_zeros(image: Image, lookups: Sequence[Lookup]) -> None:
    """See that no entry says that its cluster is zeros, which version 2 can't.

    Without a backing file nothing mapped will do, and tables are changed for all that share them.
    """
    if image.backing_name:
        _write_zeros(image)
        if any(
            entry & ZERO for lookup in lookups[1:] for t in _tables(lookup) for entry in t.words
        ):
            raise QemuError("Internal snapshots prevent downgrade of image", errno.ENOTSUP)
        return
    uses: dict[int, int] = {}
    tables: dict[int, L2Table] = {}
    for lookup in lookups:
        for table in _tables(lookup):
            uses[table.host_offset] = uses.get(table.host_offset, 0) + 1
            tables[table.host_offset] = table
    allocator, bits = image.metadata.allocator, image.metadata.cluster_bits
    for offset, table in tables.items():
        for index, entry in enumerate(table.words):
            if entry & ZERO and not entry & COMPRESSED:
                table.set(index, [0])
                if entry & OFFSET_MASK:
                    for _ in range(uses[offset]):
                        allocator.free_later(((entry & OFFSET_MASK) >> bits, 1))


def _write_zeros(image: Image) -> None:
    """Write the zeros that entries of the active disk stand for."""
    active, size = image.metadata.active, image.cluster_size
    per_table = 1 << image.layout.l2_bits
    for l1_index in range(len(active.l1)):
        for index in range(per_table):
            table = active.l2_table(l1_index)
            if table is None:
                break
            entry = table.words[index]
            if entry & ZERO and not entry & COMPRESSED:
                active.write((l1_index * per_table + index) * size, [bytes(size)])
