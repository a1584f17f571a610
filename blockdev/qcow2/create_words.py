"""The options of `qemu-img create -o` for qcow2, from words to the arguments of `create_image`."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_VERSIONS = {"0.10": 2, "v2": 2, "1.1": 3, "v3": 3}
_TRUTHS = {"on": True, "yes": True, "true": True, "y": True}
_TRUTHS |= {"off": False, "no": False, "false": False, "n": False}
_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_UNITS["e"] = 1 << 60
_LIMIT = 1 << 64

# Option, the argument of `create_image`, and how its text is read.
_OPTIONS = {
    "backing_file": ("backing", "text"),
    "backing_fmt": ("backing_format", "text"),
    "cluster_size": ("cluster_size", "size"),
    "compat": ("version", "version"),
    "compression_type": ("compression_type", "text"),
    "extended_l2": ("extended_l2", "truth"),
    "lazy_refcounts": ("lazy_refcounts", "truth"),
    "preallocation": ("preallocation", "text"),
    "refcount_bits": ("refcount_bits", "number"),
}


def read_options(words: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments of `create_image` that some options ask for.

    Args:
        words: option and its text, but for ``size``.

    Raises:
        QemuError: there is no such option, its text doesn't fit, or images with it can't be made.
    """
    arguments: dict[str, Any] = {}
    for name, text in words.items():
        if name in _OPTIONS:
            argument, kind = _OPTIONS[name]
            arguments[argument] = _READERS[kind](name, text)
        elif name in ("encryption", "nocow", "data_file_raw"):
            if _truth(name, text):
                raise QemuError(_REFUSED[name], errno.ENOTSUP)
        elif name == "data_file" or name.startswith("encrypt."):
            raise QemuError(_REFUSED[name.partition(".")[0]], errno.ENOTSUP)
        else:
            raise QemuError(f"Invalid parameter '{name}'", errno.EINVAL)
    if words.get("backing_file") == "":
        raise QemuError("Expected backing file name, got empty string", errno.EINVAL)
    return arguments


def read_value(kind: str, name: str, text: str) -> str | int | bool:
    """An option's value.

    Args:
        kind: ``text``, ``truth``, ``number`` or ``size``.

    Raises:
        QemuError: the text doesn't fit.
    """
    return _READERS[kind](name, text)


_REFUSED = {
    "encryption": "Encrypted qcow2 images cannot be created",
    "encrypt": "Encrypted qcow2 images cannot be created",
    "nocow": "Copy-on-write of the host's file system cannot be turned off for qcow2 images",
    "data_file": "qcow2 images with an external data file cannot be created",
    "data_file_raw": "qcow2 images with an external data file cannot be created",
}


def _text(_name: str, text: str) -> str:
    return text


def _truth(name: str, text: str) -> bool:
    if text not in _TRUTHS:
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'", errno.EINVAL)
    return _TRUTHS[text]


def _version(_name: str, text: str) -> int:
    if text not in _VERSIONS:
        raise QemuError(f"Parameter 'version' does not accept value '{text}'", errno.EINVAL)
    return _VERSIONS[text]


def _number(name: str, text: str) -> int:
    digits = text.lstrip().removeprefix("-").removeprefix("+")
    try:
        value = _digits(digits)
    except ValueError as error:
        raise QemuError(f"Parameter '{name}' expects a number", errno.EINVAL) from error
    if value >= _LIMIT:
        text = f"Value '{text}' is too large for parameter '{name}'"
        raise QemuError(text, errno.ERANGE)
    return -value % _LIMIT if text.lstrip().startswith("-") else value


def read_size(name: str, text: str) -> int:
    """A size of an option, in bytes.

    Raises:
        QemuError: it isn't one; QEMU's words.
    """
    body = text.lstrip().removeprefix("+")
    unit = _UNITS.get(body[-1:].lower())
    is_hexadecimal = body[:2].lower() == "0x"
    if unit is None or (is_hexadecimal and body[-1:].lower() in "be"):
        unit = 1
    else:
        body = body[:-1]
    whole, point, fraction = body.partition(".")
    try:
        value = (_digits(whole) if is_hexadecimal else int(_only_digits(whole))) * unit
        if point and is_hexadecimal:
            raise ValueError(text)
        if fraction:
            value += int(_only_digits(fraction)) * unit // 10 ** len(fraction)
    except ValueError as error:
        raise QemuError(
            f"Parameter '{name}' expects a non-negative number below 2^64\n"
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
            "and exabytes, respectively.",
            errno.EINVAL,
        ) from error
    if value >= _LIMIT:
        text = f"Value '{text}' is out of range for parameter '{name}'"
        raise QemuError(text, errno.ERANGE)
    return value


def _only_digits(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return text


def _digits(text: str) -> int:
    """A number as C's strtoull with base 0 reads it; ValueError."""
    if text[:2].lower() == "0x":
        if not text[2:].isalnum():
            raise ValueError(text)
        return int(text[2:], 16)
    return int(_only_digits(text), 8 if text.startswith("0") else 10)


_READERS: dict[str, Callable[[str, str], str | int | bool]] = {
    "text": _text,
    "truth": _truth,
    "version": _version,
    "size": read_size,
    "number": _number,
}
