"""What stands between an image's header and the end of its first cluster.

Header extensions and the backing file's name; the words are QEMU's.
Source: qcow2 specification, "Header extensions".
"""

from __future__ import annotations

from blockdev.qcow2.header import ImageFormatError
from blockdev.wire import Record, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.header import Header

EXTENSION_END = 0x00000000
EXTENSION_BACKING_FORMAT = 0xE2792ACA
EXTENSION_FEATURE_NAMES = 0x6803F857
EXTENSION_BITMAPS = 0x23852875
_EXTENSION_ENCRYPTION = 0x0537BE77

MAX_BACKING_NAME = 1023
_MAX_BACKING_FORMAT = 15
_FEATURE_BYTES = 48  # kind, bit, name padded with zeros
_INCOMPATIBLE = 0


class ExtensionHeader(Record):
    """What stands before each header extension; the data is padded to 8 bytes."""

    magic: int = wire("u32")
    length: int = wire("u32")


def read_extensions(data: bytes, header: Header) -> list[tuple[int, bytes]]:
    """The header extensions as (magic, data), in order, the unknown ones too.

    Args:
        data: the image's first cluster.
    """
    found: list[tuple[int, bytes]] = []
    offset = header.header_length
    end = min(header.backing_file_offset or len(data), len(data))
    while offset + ExtensionHeader.SIZE <= end:
        extension = ExtensionHeader.unpack(data, offset)
        if extension.magic == EXTENSION_END:
            break
        offset += ExtensionHeader.SIZE
        if extension.length > end - offset:
            raise ImageFormatError("Header extension too large")
        content = data[offset : offset + extension.length]
        _check(extension.magic, content)
        found.append((extension.magic, content))
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


def backing_format(data: bytes, header: Header) -> str:
    """The backing file's driver as the first cluster has it; "" for none."""
    for magic, content in read_extensions(data, header):
        if magic == EXTENSION_BACKING_FORMAT:
            return content.decode("utf-8", "surrogateescape")
    return ""


def _check(magic: int, content: bytes) -> None:
    if magic == EXTENSION_BACKING_FORMAT and len(content) > _MAX_BACKING_FORMAT:
        raise ImageFormatError(
            f"ERROR: ext_backing_format: len={len(content)} too large (>={_MAX_BACKING_FORMAT + 1})"
        )
    if magic == _EXTENSION_ENCRYPTION:
        # An image that is encrypted has been refused before.
        raise ImageFormatError("CRYPTO header extension only expected with LUKS encryption method")


def incompatible_feature_names(data: bytes, header: Header) -> list[tuple[int, str]]:
    """The names that an image itself has for its incompatible features: bit, name.

    Args:
        data: the image's first cluster, as far as it was read.
    """
    try:
        extensions = read_extensions(data, header)
    except ImageFormatError:
        return []
    names: list[tuple[int, str]] = []
    for magic, content in extensions:
        for start in range(0, len(content), _FEATURE_BYTES):
            entry = content[start : start + _FEATURE_BYTES]
            if magic == EXTENSION_FEATURE_NAMES and len(entry) > 1 and entry[0] == _INCOMPATIBLE:
                text = entry[2:].split(b"\0")[0].decode("utf-8", "surrogateescape")
                names.append((entry[1], text))
    return names
