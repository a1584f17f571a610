"""Compressed clusters: what their bytes stand for.

Source: qcow2 specification, "Compressed Clusters Descriptor"; zlib data is a raw deflate stream
with a window of 12 bits, zstd data one frame.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.header import ZLIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WINDOW_BITS = 12


def decompress(data: bytes, size: int, kind: int) -> bytes:
    """The cluster that some bytes stand for.

    Args:
        data: the bytes, with others behind them perhaps.
        size: of a cluster; not a byte more is made.
        kind: the image's compression type.

    Raises:
        QemuError: the bytes are no such cluster, or nothing here reads zstd.
    """
    cluster = _inflate(data, size) if kind == ZLIB else _unfreeze(data, size)
    if len(cluster) != size:
        raise QemuError("Input/output error", errno.EIO)
    return cluster


def compress(cluster: bytes, kind: int) -> bytes | None:
    """The bytes that stand for a cluster; None if they are no fewer.

    Args:
        cluster: all of it.
        kind: the image's compression type.

    Raises:
        QemuError: nothing here writes zstd.
    """
    if kind == ZLIB:
        import zlib

        packer = zlib.compressobj(-1, zlib.DEFLATED, -_WINDOW_BITS, 9)
        packed = packer.compress(cluster) + packer.flush()
    else:
        packed = _zstandard().ZstdCompressor().compress(cluster)
    return packed if len(packed) < len(cluster) else None


def _inflate(data: bytes, size: int) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(-_WINDOW_BITS).decompress(data, size)
    except zlib.error as error:
        raise QemuError("Input/output error", errno.EIO) from error


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        text = "Clusters compressed with zstd need the Python package zstandard"
        raise QemuError(text, errno.ENOTSUP) from error
    return zstandard


def _unfreeze(data: bytes, size: int) -> bytes:
    zstandard = _zstandard()
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return bytes(reader.read(size))
    except zstandard.ZstdError as error:
        raise QemuError("Input/output error", errno.EIO) from error
