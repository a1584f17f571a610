"""The options of ``-drive`` and ``-blockdev``, one by one: which there are, and their values."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NO_NODE = "\0"  # what stands for JSON's null; no node's name has this byte

# cache= -> (write cache, direct, no flush)
CACHE_MODES = {
    "off": (True, True, False),
    "none": (True, True, False),
    "directsync": (False, True, False),
    "writeback": (True, False, False),
    "unsafe": (True, False, True),
    "writethrough": (False, False, False),
}

# Options that are about the drive: what is left is for the medium's node.
_OF_DRIVE = frozenset(
    "aio bus cache.writeback copy-on-read detect-zeroes file format id if index media read-only "
    "readonly rerror snapshot unit werror".split()
)
_OF_NODE = frozenset(
    "auto-read-only cache cache.direct cache.no-flush discard driver file.driver file.filename "
    "file.locking force-share node-name".split()
)
_OF_RAW = frozenset(("offset", "size"))
# Settings of qcow2 that don't change what is stored.
QCOW2_SETTINGS = frozenset(
    "cache-clean-interval cache-size discard-no-unref l2-cache-entry-size l2-cache-size "
    "lazy-refcounts overlap-check pass-discard-other pass-discard-request pass-discard-snapshot "
    "refcount-cache-size".split()
)
# Limits of what may go through a drive: how -drive calls them, and what they are.
_LIMITS = {
    f"{unit}{short}{rest}": f"{unit}-{direction}{rest.replace('_', '-')}"
    for unit in ("bps", "iops")
    for short, direction in (("", "total"), ("_rd", "read"), ("_wr", "write"))
    for rest in ("", "_max", "_max_length")
} | {"iops_size": "iops-size"}
_THROTTLING = "throttling."

_VALUES = {
    "discard": ("ignore", "off", "unmap", "on"),
    "aio": ("threads", "native", "io_uring"),
    "detect-zeroes": ("off", "on", "unmap"),
    "werror": ("ignore", "enospc", "stop", "report", "auto"),
    "rerror": ("ignore", "stop", "report", "auto"),
}
_REFUSALS = {
    "discard": "Invalid discard option",
    "aio": "invalid aio option",
    "detect-zeroes": "invalid parameter value: {}",
    "werror": "'{}' invalid write error action",
    "rerror": "'{}' invalid read error action",
}
_NODE_VALUES = {
    "discard": ("ignore", "unmap"),
    "aio": ("threads", "native", "io_uring"),
    "detect-zeroes": ("off", "on", "unmap"),
    "locking": ("auto", "on", "off"),
}


def flattened(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as the options of ``-blockdev``: ``file.filename``, all of them texts."""
    flat: dict[str, str] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                add(f"{name}.{index}", inner)
        elif value is None:
            flat[name] = NO_NODE
        elif isinstance(value, bool):
            flat[name] = "on" if value else "off"
        else:
            flat[name] = str(value)

    for name, value in values.items():
        add(name, value)
    return flat


def flag(options: dict[str, str], name: str, default: bool) -> bool:
    """The value of an on/off option."""
    value = options.get(name)
    if value is None:
        return default
    if value not in ("on", "off", "yes", "no", "true", "false", "y", "n"):
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    return value in ("on", "yes", "true", "y")


def number(options: dict[str, str], name: str) -> int | None:
    """The value of a numeric option: decimal, 0x hexadecimal or 0 octal."""
    value = options.get(name)
    if value is None:
        return None
    try:
        is_octal = len(value) > 1 and value[0] == "0" and value.isdigit()
        return int(value, 8 if is_octal else 0)
    except ValueError:
        raise QemuError(f"Parameter '{name}' expects a number") from None


def throttle_limits(options: dict[str, str]) -> tuple[dict[str, int], str]:
    """The limits among the options of a drive, by QEMU's names, and the name of their group.

    Raises:
        QemuError: a value is no number, or one is given under two names.
    """
    limits: dict[str, int] = {}
    for name, limit in _LIMITS.items():
        full = _THROTTLING + limit
        if name in options and full in options:
            raise QemuError(f"'{full}' and its alias '{name}' can't be used at the same time")
        text = options.get(full, options.get(name))
        if text is not None:
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit()):
                raise QemuError(f"Parameter '{full}' expects a number")
            limits[limit] = int(text)
            if limit.endswith("-length") and not limits[limit]:
                del limits[limit]
    return limits, options.get(_THROTTLING + "group", options.get("group", ""))


def is_of_throttling(name: str) -> bool:
    """Whether an option of a drive is a limit, or names the group of its limits."""
    if name == "group":
        return True
    is_full = name.startswith(_THROTTLING)
    limit = name.removeprefix(_THROTTLING)
    return name in _LIMITS or (is_full and (limit in _LIMITS.values() or limit == "group"))


def check_drive(options: dict[str, str]) -> None:
    """Look at the values of ``-drive`` that have no effect here.

    Raises:
        QemuError: one can't be.
    """
    if "read-only" in options and "readonly" in options:
        raise QemuError("'read-only' and its alias 'readonly' can't be used at the same time")
    for name, values in _VALUES.items():
        if options.get(name, values[0]) not in values:
            raise QemuError(_REFUSALS[name].format(options[name]))
    flag(options, "copy-on-read", False)
    if "format" in options and "driver" in options:
        raise QemuError("Cannot specify both 'driver' and 'format'")


def check_empty_drive(options: dict[str, str]) -> None:
    """See that a drive without a file has no options that are for a file.

    Raises:
        QemuError: it has.
    """
    if "format" in options or "driver" in options:
        raise QemuError('A block device must be specified for "file"')
    if options.get("file.driver") == "file":
        raise QemuError("The 'file' block driver requires a file name")
    if any(not is_of_throttling(name) for name in options.keys() - _OF_DRIVE):
        raise QemuError("Must specify either driver or file")


def unknown_to(driver: str, options: dict[str, str]) -> str | None:
    """The first option of ``-drive`` that a medium of this format doesn't know."""
    settings = {"qcow2": QCOW2_SETTINGS, "raw": _OF_RAW}.get(driver, frozenset())
    for name in options:
        if name in _OF_DRIVE or name in _OF_NODE or name in settings:
            continue
        if not is_of_throttling(name):
            return name
    return options["file.driver"] if options.get("file.driver", "file") != "file" else None


def check_node(options: dict[str, str], prefix: str) -> None:
    """Look at the values of ``-blockdev`` that come from a list.

    Raises:
        QemuError: one can't be; the option has `prefix` before it.
    """
    for name, values in _NODE_VALUES.items():
        if options.get(name, values[0]) not in values:
            raise QemuError(f"Parameter '{prefix}{name}' does not accept value '{options[name]}'")
    if options.get("detect-zeroes") == "unmap" and options.get("discard") != "unmap":
        raise QemuError(
            "setting detect-zeroes to unmap is not allowed "
            "without setting discard operation to unmap"
        )


def check_aio(options: dict[str, str], *, direct: bool) -> None:
    """See that requests can be given to the host's kernel, if they are to be.

    Raises:
        QemuError: its page cache is in the way.
    """
    if options.get("aio") == "native" and not direct:
        raise QemuError(
            "aio=native was specified, but it requires cache.direct=on, which was not specified."
        )
