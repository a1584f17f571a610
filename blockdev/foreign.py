"""Formats that are known and not simulated: they are probed and told of, and keep no snapshots.

Their size is read from the header; what a guest would read or write there is refused.
Source: the formats' own descriptions, and what QEMU says of files that aren't such.
"""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.node import BlockNode, CacheMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.file import Buffer

_SECTOR = 512
_VHDX_REGIONS = 192 << 10
_BAT_OR_METADATA = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
_VHDX_SIZE = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
_VHDX_PARAMETERS = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")
_MOST_ENTRIES = 2047
_LARGEST_BLOCK = 64 << 20  # of compressed bytes
_CLOOP = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop"


def _little(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _big(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "big")


def _vmdk(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:4] != b"KDMV":
        if head.startswith(b"# Disk DescriptorFile"):
            return 0, 0
        raise QemuError("invalid VMDK image descriptor", errno.EINVAL)
    return _little(head, 12, 8) * _SECTOR, _little(head, 20, 8) * _SECTOR


def _vdi(file: BlockNode, head: bytes) -> tuple[int, int]:
    signature = _little(head, 0x40, 4)
    if signature != 0xBEDA107F:
        text = f"Image not in VDI format (bad signature {signature:08x})"
        raise QemuError(text, errno.EINVAL)
    return _little(head, 0x170, 8), _little(head, 0x178, 4)


def _vpc(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:8] != b"conectix":
        raise QemuError("invalid VPC image", errno.EINVAL)
    cylinders, heads, sectors = _big(head, 56, 2), head[58], head[59]
    # What made it says which of the two sizes counts: QEMU goes by the geometry of its own.
    size = cylinders * heads * sectors * _SECTOR if head[28:32] == b"qemu" else _big(head, 48, 8)
    return size, _big(head, 512 + 32, 4)


def _qcow(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:4] != b"QFI\xfb" or _big(head, 4, 4) != 1:
        raise QemuError("Image not in qcow format", errno.EINVAL)
    bits = head[32]
    if not 9 <= bits <= 16:
        raise QemuError("Cluster size must be between 512 and 64k", errno.EINVAL)
    return _big(head, 24, 8), 1 << bits


def _parallels(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:16] not in (b"WithoutFreeSpace", b"WithouFreSpacExt"):
        raise QemuError("Image not in Parallels format", errno.EINVAL)
    return _little(head, 36, 8 if head[:16] == b"WithouFreSpacExt" else 4) * _SECTOR, 0


def _vhdx(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:8] != b"vhdxfile":
        text = f"Could not open '{file.filename}': {os.strerror(errno.EINVAL)}"
        raise QemuError(text, errno.EINVAL)
    regions = file.read(_VHDX_REGIONS, 64 << 10)
    place = _find(regions, 16, 32, _BAT_OR_METADATA, _little(regions, 8, 4))
    if place < 0:
        return 0, 0
    base = _little(regions, place + 16, 8)
    table = file.read(base, 64 << 10)
    count = _little(table, 10, 2)
    sizes = []
    for item, size in ((_VHDX_SIZE, 8), (_VHDX_PARAMETERS, 4)):
        at = _find(table, 32, 32, item, count)
        where = base + _little(table, at + 16, 4)
        sizes.append(_little(file.read(where, size), 0, size) if at >= 0 else 0)
    return sizes[0], sizes[1]


def _find(data: bytes, start: int, step: int, wanted: bytes, count: int) -> int:
    """Where the entry that begins so lies in a table; -1 where none does."""
    for index in range(min(count, _MOST_ENTRIES)):
        place = start + index * step
        if data[place : place + len(wanted)] == wanted:
            return place
    return -1


def _qed(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:4] != b"QED\0":
        raise QemuError("Image not in QED format", errno.EINVAL)
    return _little(head, 0x30, 8), _little(head, 4, 4)


def _luks(file: BlockNode, head: bytes) -> tuple[int, int]:
    if head[:6] != b"LUKS\xba\xbe":
        raise QemuError("Volume is not in LUKS format", errno.EINVAL)
    raise QemuError("Parameter 'key-secret' is required for cipher", errno.EINVAL)


def _is_bochs(head: bytes) -> bool:
    kinds = [head[:32], head[32:48], head[48:64]]
    wanted = [b"Bochs Virtual HD Image", b"Redolog", b"Growing"]
    is_named = [kind.partition(b"\0")[0] for kind in kinds] == wanted
    return is_named and _little(head, 64, 4) in (0x10000, 0x20000)


def _bochs(file: BlockNode, head: bytes) -> tuple[int, int]:
    if not _is_bochs(head):
        raise QemuError("Image not in Bochs format", errno.EINVAL)
    version = _little(head, 64, 4)
    # The newer version has the time of a change before the size.
    return _little(head, 88 if version == 0x20000 else 84, 8), 0


def _cloop(file: BlockNode, head: bytes) -> tuple[int, int]:
    block, blocks = _big(head, 128, 4), _big(head, 132, 4)
    if not block:
        raise QemuError("block_size cannot be zero", errno.EINVAL)
    if block % _SECTOR:
        raise QemuError(f"block_size {block} must be a multiple of 512", errno.EINVAL)
    if block > _LARGEST_BLOCK:
        text = f"block_size {block} must be {_LARGEST_BLOCK >> 20} MB or less"
        raise QemuError(text, errno.EINVAL)
    return block * blocks, 0


_READERS: dict[str, Callable[[BlockNode, bytes], tuple[int, int]]] = {
    "vmdk": _vmdk,
    "vdi": _vdi,
    "vpc": _vpc,
    "qcow": _qcow,
    "parallels": _parallels,
    "vhdx": _vhdx,
    "qed": _qed,
    "luks": _luks,
    "bochs": _bochs,
    "cloop": _cloop,
}
FORMATS = frozenset(_READERS)
_SHOWN = {"parallels": "Parallels"}  # in words, where that isn't the driver's name
# A machine with one of these can't be migrated, nor saved.
_BLOCKING = FORMATS - {"qed", "luks", "bochs", "cloop"}


def probe(head: bytes) -> str | None:
    """The format that a file's first bytes tell of; None for none of these."""
    if head[:4] == b"KDMV" or head.startswith(b"# Disk DescriptorFile"):
        return "vmdk"
    if _little(head, 0x40, 4) == 0xBEDA107F:
        return "vdi"
    if head[:4] == b"QFI\xfb" and _big(head, 4, 4) == 1:
        return "qcow"
    if _is_bochs(head):
        return "bochs"
    starts = {
        b"conectix": "vpc",
        b"WithoutFreeSpace": "parallels",
        b"WithouFreSpacExt": "parallels",
        b"vhdxfile": "vhdx",
        b"QED\0": "qed",
        b"LUKS\xba\xbe": "luks",
        _CLOOP: "cloop",
    }
    return next((name for start, name in starts.items() if head.startswith(start)), None)


class ForeignNode(BlockNode):
    """An image of one of these formats.

    Raises:
        QemuError: the file isn't such an image.
    """

    def __init__(
        self, node_name: str, driver: str, file: BlockNode, *, read_only: bool, cache: CacheMode
    ) -> None:
        super().__init__(node_name, file.filename, read_only=read_only, cache=cache)
        self.driver = driver
        self.file: BlockNode = file
        self._size, self._cluster_size = _READERS[driver](file, file.read(0, 1024))

    @property
    def migration_blocker(self) -> str:
        if self.driver not in _BLOCKING:
            return ""
        return (
            f"The {_SHOWN.get(self.driver, self.driver)} format used by node '{self.node_name}' "
            "does not support live migration"
        )

    @property
    def size(self) -> int:
        return self._size

    @property
    def cluster_size(self) -> int:
        return self._cluster_size

    def read(self, offset: int, size: int) -> bytes:
        raise self._refusal()

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        raise self._refusal()

    def _refusal(self) -> QemuError:
        return QemuError(f"Images of format '{self.driver}' can't be read here", errno.ENOTSUP)
