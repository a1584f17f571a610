"""The options of new images, `-o name=value,...`: what there is, reading and showing them."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.qcow2.create_words import read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Name, kind, default ("" for none) and explanation, in the order in which QEMU shows values.
_QCOW2 = (
    ("encryption", "truth", "",
     "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"),
    ("encrypt.format", "text", "", "Encrypt the image, format choices: 'aes', 'luks'"),
    ("encrypt.key-secret", "text", "", "ID of secret providing qcow AES key or LUKS passphrase"),
    ("encrypt.cipher-alg", "text", "", "Name of encryption cipher algorithm"),
    ("encrypt.cipher-mode", "text", "", "Name of encryption cipher mode"),
    ("encrypt.ivgen-alg", "text", "", "Name of IV generator algorithm"),
    ("encrypt.ivgen-hash-alg", "text", "", "Name of IV generator hash algorithm"),
    ("encrypt.hash-alg", "text", "", "Name of encryption hash algorithm"),
    ("encrypt.iter-time", "number", "", "Time to spend in PBKDF in milliseconds"),
    ("cluster_size", "size", "65536", "qcow2 cluster size"),
    ("extended_l2", "truth", "off", "Extended L2 tables"),
    ("preallocation", "text", "",
     "Preallocation mode (allowed values: off, metadata, falloc, full)"),
    ("compression_type", "text", "zlib", "Compression method used for image cluster compression"),
    ("size", "size", "", "Virtual disk size"),
    ("compat", "text", "", "Compatibility level (v2 [0.10] or v3 [1.1])"),
    ("backing_file", "text", "", "File name of a base image"),
    ("backing_fmt", "text", "", "Image format of the base image"),
    ("data_file", "text", "", "File name of an external data file"),
    ("data_file_raw", "truth", "", "The external data file must stay valid as a raw image"),
    ("lazy_refcounts", "truth", "off", "Postpone refcount updates"),
    ("refcount_bits", "number", "16", "Width of a reference count entry in bits"),
)  # fmt: skip
_RAW = (("size", "size", "", "Virtual disk size"),)
_FILE = (
    ("size", "size", "", "Virtual disk size"),
    ("nocow", "truth", "", "Turn off copy-on-write (valid only on btrfs)"),
    ("preallocation", "text", "", "Preallocation mode (allowed values: off, falloc, full)"),
    ("extent_size_hint", "size", "", "Extent size hint for the image file, 0 to disable"),
)
_FORMATS = {"qcow2": _QCOW2, "raw": _RAW}
_AMENDABLE_TOO = frozenset(
    "backing_file backing_fmt compat data_file data_file_raw encrypt.iter-time lazy_refcounts "
    "refcount_bits size".split()
)
# Nothing has a default there: what isn't given stays as it is.
_AMENDABLE = (
    *((name, kind, "", text) for name, kind, _, text in _QCOW2 if name in _AMENDABLE_TOO),
    ("encrypt.keyslot", "number", "", "Select a single keyslot to modify explicitly"),
    ("encrypt.new-secret", "text", "",
     "New secret to set in the matching keyslots. Empty string to erase"),
    ("encrypt.old-secret", "text", "", "Select all keyslots that match this password"),
    ("encrypt.state", "text", "", "Select new state of affected keyslots (active/inactive)"),
)  # fmt: skip
_KINDS = {"text": "str", "truth": "bool (on/off)", "number": "num", "size": "size"}
_HELP_WORDS = ("help", "?")
_NAME_WIDTH = 24  # of an option and its kind in the help


class ImageOptions:
    """Options for a new image, or a changed one.

    Args:
        format: of the image, one of those that `can_create`.
        amends: they are for an image that there is.

    Attributes:
        values: the texts by name.
    """

    def __init__(self, format: str, *, amends: bool = False) -> None:
        self.format = format
        self._table: tuple[tuple[str, str, str, str], ...]
        if amends:
            self._table = _AMENDABLE
        else:
            own = _FORMATS[format]
            names = {row[0] for row in own}
            self._table = own + tuple(row for row in _FILE if row[0] not in names)
        self._kinds = {row[0]: row[1] for row in self._table}
        self.values: dict[str, str] = {}

    def read(self, text: str) -> None:
        """Take options over from a list.

        Raises:
            QemuError: there is no such option, or its text doesn't fit.
        """
        for name, value in split_list(text):
            if name not in self._kinds and value is None and name.startswith("no"):
                name, value = name[2:], "off"
            if name not in self._kinds:
                raise QemuError(f"Invalid parameter '{name}'")
            self.set(name, "on" if value is None else value)

    def set(self, name: str, value: str) -> None:
        """Set one option, which there is."""
        read_value(self._kinds[name], name, value)
        self.values[name] = value

    def knows(self, name: str) -> bool:
        """Whether there is such an option."""
        return name in self._kinds

    def number(self, name: str) -> int | None:
        """A size or number; None when it isn't given and has no default."""
        default = next((row[2] for row in self._table if row[0] == name), "")
        text = self.values.get(name, default)
        return int(read_value(self._kinds[name], name, text)) if text else None

    def shown(self) -> str:
        """All that are given or have a default, as `name=value` parted by blanks."""
        parts = []
        for name, kind, default, _ in self._table:
            text = self.values.get(name)
            if text is None:
                if default:
                    parts.append(f"{name}={default}")
            elif kind == "text":
                parts.append(f"{name}={text.replace(',', ',,')}")
            elif kind == "truth":
                parts.append(f"{name}={text}")
            else:
                number = int(read_value(kind, name, text))
                parts.append(f"{name}={number - (number >> 63 << 64)}")
        return " ".join(parts)


def can_create(format: str) -> bool:
    """Whether images of a format can be made here."""
    return format in _FORMATS


def check_format_is_made(format: str) -> None:
    """See that images of a format can be made here.

    Raises:
        QemuError: they can't.
    """
    if not can_create(format):
        from blockdev.image_create import check_known, check_made

        check_known(format)
        check_made(format)


def is_for_creation(format: str, name: str) -> bool:
    """Whether new images of a format have such an option."""
    return any(row[0] == name for row in _FORMATS[format])


def creation_help(format: str, *, with_file: bool) -> str:
    """The lines about the options of new images.

    Args:
        with_file: those of a disk file are among them.
    """
    own = _FORMATS[format]
    if not with_file:
        return f"Supported {format} options:\n{_rows(own)}" + (
            "\nThe protocol level may support further options.\n"
            "Specify the target filename to include those options.\n"
        )
    names = {row[0] for row in own}
    return "Supported options:\n" + _rows([*own, *(row for row in _FILE if row[0] not in names)])


def amend_help() -> str:
    """The lines about the options of a qcow2 image that can be changed."""
    return f"Amend options for 'qcow2':\n{_rows(_AMENDABLE)}"


def _rows(table: Sequence[tuple[str, str, str, str]]) -> str:
    lines = []
    for name, kind, _, explanation in sorted(table):
        lines.append(f"  {f'{name}=<{_KINDS[kind]}>':<{_NAME_WIDTH - 2}} - {explanation}\n")
    return "".join(lines)


def split_list(text: str) -> list[tuple[str, str | None]]:
    """Names and values of a list, two commas in a value standing for one.

    The value is None for a name alone.
    """
    found: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        end = position
        while end < len(text) and text[end] not in "=,":
            end += 1
        name = text[position:end]
        if text[end : end + 1] != "=":
            found.append((name, None))
            position = end + 1
            continue
        parts = []
        position = end + 1
        while True:
            comma = text.find(",", position)
            if comma < 0:
                comma = len(text)
            parts.append(text[position:comma])
            position = comma + 1
            if text[position : position + 1] != ",":
                break
            position += 1
        found.append((name, ",".join(parts)))
    return found


def asks_for_help(text: str) -> bool:
    """Whether a list has a word that asks for help among its options."""
    return any(name in _HELP_WORDS for name, value in split_list(text) if value is None)


def joined(lists: Sequence[str]) -> str:
    """Several lists as one.

    Raises:
        QemuError: a comma stands where none may.
    """
    for text in lists:
        if text.startswith(",") or _ends_open(text) or not text:
            raise QemuError(f"Invalid option list: {text}")
    return ",".join(lists)


def _ends_open(text: str) -> bool:
    """Whether it ends with a comma that isn't one of two that stand for one."""
    return bool((len(text) - len(text.rstrip(","))) % 2)
