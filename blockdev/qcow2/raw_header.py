"""What an image's header says, read without the engine's help and only as far as a walk needs it.

Source: qcow2 specification, "Header", "Header extensions".
"""

from __future__ import annotations

import errno
import struct

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

_EXTERNAL_DATA, _EXTENDED_L2 = 1 << 2, 1 << 4  # incompatible features
_ENCRYPTION_EXTENSION, _BITMAPS_EXTENSION = 0x0537BE77, 0x23852875

MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_TABLE_BYTES = 8 << 20


class RawHeader:
    """The header of an image; fields as in the specification, bytes unless it says entries.

    Args:
        file: the node with the image's bytes.

    Attributes:
        encryption_area: offset and size of the LUKS header; 0, 0 without one.
        bitmaps: count, size of the directory, its offset; None without the extension.

    Raises:
        QemuError: no walk can begin from this header; QEMU's words.
    """

    cluster_bits: int
    size: int
    refcount_order: int
    incompatible: int

    def __init__(self, file: BlockNode) -> None:
        self.file = file
        # QEMU knows a file's length in sectors.
        self.file_size = -(-file.size // 512) * 512
        self._read_fields()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; zeros past its end, however far."""
        return self.file.read(offset, size) if offset < self.file_size else bytes(size)

    def _read_fields(self) -> None:
        data = self.read(0, 112)
        magic, self.version = struct.unpack_from(">II", data)
        if magic != 0x514649FB:
            raise QemuError("Image is not in qcow2 format", errno.EINVAL)
        if self.version not in (2, 3):
            raise QemuError(f"Unsupported qcow2 version {self.version}", errno.ENOTSUP)
        (self.backing_offset, _, self.cluster_bits, self.size, self.crypt_method) = (
            struct.unpack_from(">QIIQI", data, 8)
        )
        self.l1_size, self.l1_offset, self.refcount_table_offset, self.refcount_table_clusters = (
            struct.unpack_from(">IQQI", data, 36)
        )
        self.nb_snapshots, self.snapshots_offset = struct.unpack_from(">IQ", data, 60)
        self.incompatible = self.autoclear = 0
        self.refcount_order, self.header_length = 4, 72
        if self.version == 3:
            self.incompatible, _, self.autoclear, self.refcount_order, self.header_length = (
                struct.unpack_from(">QQQII", data, 72)
            )
        if not 9 <= self.cluster_bits <= 21:
            text = f"Unsupported cluster size: 2^{self.cluster_bits}"
            raise QemuError(text, errno.EINVAL)
        if self.refcount_order > 6:
            text = "Reference count entry width too large; may not exceed 64 bits"
            raise QemuError(text, errno.EINVAL)
        if self.l1_size > MAX_L1_BYTES // 8:
            raise QemuError("Active L1 table too large", errno.EFBIG)
        if self.refcount_table_clusters << self.cluster_bits > _MAX_REFCOUNT_TABLE_BYTES:
            raise QemuError("Reference count table too large", errno.EFBIG)
        self.cluster_size = 1 << self.cluster_bits
        self._check_table_offset("Reference count table", self.refcount_table_offset)
        if self.l1_size:
            self._check_table_offset("Active L1 table", self.l1_offset)
        self.has_external_data = self.incompatible & _EXTERNAL_DATA != 0
        self.has_extended_entries = self.incompatible & _EXTENDED_L2 != 0
        self.entry_size = 16 if self.has_extended_entries else 8
        self._read_extensions()

    def _check_table_offset(self, table: str, offset: int) -> None:
        if offset & (self.cluster_size - 1) or offset >> 63:
            raise QemuError(f"{table} offset invalid", errno.EINVAL)

    def _read_extensions(self) -> None:
        self.encryption_area = (0, 0)
        self.bitmaps: tuple[int, int, int] | None = None
        data = self.read(0, self.cluster_size)
        offset = self.header_length
        end = min(self.backing_offset or len(data), len(data))
        while offset + 8 <= end:
            magic, length = struct.unpack_from(">II", data, offset)
            offset += 8
            if not magic or length > end - offset:
                break
            if magic == _ENCRYPTION_EXTENSION and length >= 16:
                self.encryption_area = struct.unpack_from(">QQ", data, offset)
            elif magic == _BITMAPS_EXTENSION and length >= 24:
                count, _, size, where = struct.unpack_from(">IIQQ", data, offset)
                self.bitmaps = count, size, where
            offset += -(-length // 8) * 8
