"""Names of images: what a name that somebody typed opens, and what QEMU calls an open node.

The latter is a file's name where that tells all, else the whole tree as JSON.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


# What QEMU takes for a protocol before a colon, apart from `file`.
_OTHER_PROTOCOLS = frozenset(
    "blkdebug blklogwrites blkverify fat ftp ftps gluster gluster+rdma gluster+tcp gluster+unix "
    "host_cdrom host_device http https iscsi iser json nbd nbd+tcp nbd+unix nfs null-aio null-co "
    "nvme rbd vvfat".split()
)


def protocol_of(name: str) -> str | None:
    """What stands before the first colon, unless a slash comes earlier."""
    head, colon, _ = name.partition(":")
    return head if colon and "/" not in head else None


def local_file(name: str) -> str:
    """The file that an image's name means.

    Raises:
        QemuError: it asks for another protocol.
    """
    protocol = protocol_of(name)
    if protocol is None:
        return name
    if protocol in _OTHER_PROTOCOLS:
        raise QemuError(f"Protocol '{protocol}' is not simulated yet", errno.ENOTSUP)
    if protocol != "file":
        raise QemuError(f"Unknown protocol '{protocol}'", errno.ENOENT)
    name = name.removeprefix("file:")
    # What is left shall be a file's name whatever it begins with.
    return name if protocol_of(name) is None else f"./{name}"


def is_identifier(text: str) -> bool:
    """Whether a text may be an id: letters, digits and ``-._``, starting with a letter."""
    rest = text.replace("-", "").replace(".", "").replace("_", "")
    return text.isascii() and text[:1].isalpha() and (rest.isalnum() or not rest)


# QEMU shows the keys of a tree in an order of its own; these come before all others.
_FIRST_KEYS = (
    "offset",
    "inject-error.0.once",
    "throttle-group",
    "read-zeroes",
    "server.path",
    "server.port",
    "server.host",
    "image",
    "backing",
    "driver",
    "size",
    "inject-error.0.event",
)


def tree_name(node: BlockNode) -> str:
    """The name of a node that is open with all that belongs under it.

    It is its file's own name if opening that file in the node's format gives this very tree.
    """
    if node.file is None:
        return "json:" + _tree(node) if node.shown_options else node.filename
    if node.is_named_as_child:
        return tree_name(node.file)
    below = node.file
    if node.driver == "blkdebug" and below.is_protocol and set(node.shown_options) <= {"config"}:
        return f"blkdebug:{node.shown_options.get('config', '')}:{below.filename}"
    is_plain = below.is_protocol or below.driver == "blkdebug"
    is_plain = is_plain and not node.is_filter and not has_other_backing(node)
    if node.driver == "raw" and node.shown_options:
        is_plain = False  # only a part of the file
    if is_plain and not below.filename.startswith("json:"):
        return below.filename
    return "json:" + _tree(node)


def has_other_backing(node: BlockNode) -> bool:
    """Whether something else stands under a node than the image in its file names."""
    if node.backing is None:
        return bool(node.backing_name)
    return not node.has_own_backing and node.backing.filename != node.backing_name


def _tree(node: BlockNode) -> str:
    if node.is_named_as_child and node.file is not None:
        return _tree(node.file)
    parts = {"driver": quoted(node.driver)}
    parts |= {key: _json(value) for key, value in node.shown_options.items()}
    if node.file is not None:
        parts["image" if node.driver == "blkdebug" else "file"] = _tree(node.file)
    elif node.driver == "file":
        parts["filename"] = quoted(node.filename)
    parts |= {key: quoted(value) for key, value in node.place_options.items()}
    if has_other_backing(node):
        parts["backing"] = "null" if node.backing is None else _tree(node.backing)
    keys = [key for key in _FIRST_KEYS if key in parts]
    keys += sorted(parts.keys() - set(keys))
    return "{" + ", ".join(f'"{key}": {parts[key]}' for key in keys) + "}"


def _json(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else quoted(str(value))


def quoted(text: str) -> str:
    """A JSON string in ASCII; a byte that isn't UTF-8 becomes the replacement character."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return '"' + "".join(map(_escaped, readable)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES or " " <= letter <= "~":
        return _ESCAPES.get(letter, letter)
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))
