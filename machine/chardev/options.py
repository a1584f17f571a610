"""How character devices are spelled: ``-monitor`` and ``-serial`` words, and ``-chardev``."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FLAG, NUMBER, SIZE, TEXT = range(4)

# Every option any kind of device knows; which ones a kind looks at is its own matter.
OPTIONS = {
    "backend": TEXT, "path": TEXT, "host": TEXT, "port": TEXT, "fd": TEXT,
    "localaddr": TEXT, "localport": TEXT, "to": NUMBER, "ipv4": FLAG, "ipv6": FLAG,
    "wait": FLAG, "server": FLAG, "delay": FLAG, "nodelay": FLAG, "reconnect": NUMBER,
    "telnet": FLAG, "tn3270": FLAG, "tls-creds": TEXT, "tls-authz": TEXT, "websocket": FLAG,
    "width": NUMBER, "height": NUMBER, "cols": NUMBER, "rows": NUMBER, "mux": FLAG,
    "signal": FLAG, "name": TEXT, "debug": NUMBER, "size": SIZE, "chardev": TEXT,
    "append": FLAG, "logfile": TEXT, "logappend": FLAG, "mouse": FLAG, "clipboard": FLAG,
    "abstract": FLAG, "tight": FLAG,
}  # fmt: skip

# Older names of backends.
_ALIASES = {"tty": "serial", "parport": "parallel"}

BACKENDS = (
    "stdio", "ringbuf", "mux", "pipe", "null", "msmouse", "socket", "vc", "memory", "file",
    "serial", "wctablet", "pty", "testdev", "qemu-vdagent", "parallel", "udp",
)  # fmt: skip
SIZE_SUFFIXES = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


class ChardevOptions:
    """One device to open; the values are checked for their form."""

    __slots__ = ("backend", "label", "mux", "values")

    def __init__(self, *, backend: str, label: str, values: dict[str, str]) -> None:
        self.backend = backend
        self.label = label
        self.values = values
        self.mux = self.flag("mux")

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        return default if value is None else value == "on"

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return None if value is None else int(value, 0)

    def size(self, name: str, default: int) -> int:
        """Bytes."""
        value = self.values.get(name)
        return default if value is None else _parse_size(value)


class LegacyWordError(QemuError):
    """The word names no character device; what is wrong in it was reported before."""


def parse_legacy(text: str, label: str, report: Callable[[str], object]) -> ChardevOptions:
    """The word after ``-monitor`` or ``-serial``: ``stdio``, ``unix:PATH,server=on,wait=off`` ...

    ``mon:WORD`` asks for a multiplexer with a monitor.

    Raises:
        LegacyWordError: it is none of them. What is wrong in it was given to ``report`` before.
    """
    values: dict[str, str] = {}
    word = text
    if word.startswith("mon:"):
        word = word.removeprefix("mon:")
        values["mux"] = "on"
        if word == "stdio":
            values["signal"] = "off"  # Ctrl-C is for the guest
    try:
        backend = _parse_word(word, values)
    except QemuError as error:
        if str(error):
            report(str(error))
        raise LegacyWordError(f"parse error: {text}") from error
    return ChardevOptions(backend=backend, label=label, values=values)


class ChardevSyntaxError(QemuError):
    """The text after ``-chardev`` is no list of options that a character device can have."""


def split_chardev(text: str, report: Callable[[str], object] | None) -> dict[str, str]:
    """The values of the text after ``-chardev`` or `chardev-add`, each checked for its form.

    Args:
        report: takes a warning; None for nobody.

    Raises:
        ChardevSyntaxError: it is not well-formed.
    """
    values: dict[str, str] = {}
    try:
        for name, value in _pairs(text, "backend", ("id",), report):
            if name != "id":
                values[name] = _checked(name, value)
            elif "id" not in values:  # of ids the first counts
                values["id"] = _checked_id(value)
    except QemuError as error:
        raise ChardevSyntaxError(str(error)) from error
    return values


def parse_chardev(
    text: str, report: Callable[[str], object] | None = None, label: str | None = None
) -> ChardevOptions:
    """The text after ``-chardev`` or `chardev-add`: ``BACKEND,id=ID[,...]``.

    Args:
        report: takes a warning; None for nobody.
        label: the name, where the text must not have one.

    Raises:
        ChardevSyntaxError: it is not well-formed.
        QemuError: QEMU would refuse it before opening anything.
    """
    values = split_chardev(text, report)
    if label is not None and "id" in values:
        raise QemuError("Unexpected 'id' parameter")
    id = values.pop("id", None)
    backend = values.pop("backend", None)
    if id is None and label is None:
        raise QemuError("chardev: no id specified")
    if backend is None:
        raise QemuError(f'chardev: "{id or "(null)"}" missing backend')
    label = id if label is None else label
    assert label is not None
    if backend in _ALIASES:
        name = _ALIASES[backend]
        if report is not None:
            report(f"warning: The alias '{backend}' is deprecated, use '{name}' instead")
        backend = name
    if backend not in BACKENDS:
        raise QemuError(f"'{backend}' is not a valid char driver name")
    return ChardevOptions(backend=backend, label=label, values=values)


def describe_options() -> list[str]:
    """What ``help`` in the place of an option lists: all of them with their types."""
    kinds = {FLAG: "bool (on/off)", NUMBER: "num", SIZE: "size", TEXT: "str"}
    return ["chardev options:", *(f"  {name}=<{kinds[OPTIONS[name]]}>" for name in sorted(OPTIONS))]


def _parse_word(word: str, values: dict[str, str]) -> str:
    """Fill in the values of a legacy word; its backend."""
    if word in ("null", "pty", "msmouse", "wctablet", "testdev", "stdio"):
        return word
    kind, colon, rest = word.partition(":")
    if word.startswith("vc") and (not colon or kind == "vc"):
        if colon:
            _check_screen_size(rest)
        return "vc"
    if word == "con:":
        return "console"
    if colon and kind in ("file", "pipe"):
        values["path"] = rest
        return kind
    if colon and kind in ("tcp", "telnet"):
        place, comma, options = rest.partition(",")
        host, colon, port = place.partition(":")
        if not port or len(host) > 64:
            raise QemuError("")
        values["host"], values["port"] = host, port[:32]
        if kind == "telnet":
            values["telnet"] = "on"
        if comma:
            _take(options, values, "")
        return "socket"
    if colon and kind == "unix":
        _take(rest, values, "path")
        return "socket"
    if colon and kind == "udp":
        values.update(_udp_places(rest))
        return "udp"
    if word.startswith("/dev/"):
        values["path"] = word
        return "parallel" if word.startswith(("/dev/parport", "/dev/ppi")) else "serial"
    raise QemuError(f"'{word}' is not a valid char driver")


def _check_screen_size(text: str) -> None:
    """``80x24`` pixels or ``80Cx24C`` characters; what follows is passed over."""
    width, _, height = text.partition("x")
    digits = width.removesuffix("C")
    wide = digits.isascii() and digits.isdigit() and len(digits) < 8
    if not wide or not (height[:1].isascii() and height[:1].isdigit()):
        raise QemuError("")


def _udp_places(text: str) -> dict[str, str]:
    """``HOST:PORT`` to send to, with ``@HOST:PORT`` of one's own; hosts may be empty."""
    there, at, here = text.partition("@")
    values = {}
    for place, host_key, port_key in ((there, "host", "port"), (here, "localaddr", "localport")):
        host, colon, port = place.partition(":")
        if place is here and not at:
            break
        port = port.partition(",")[0]
        if not colon or not port or len(host) > 64:
            raise QemuError("")
        values[host_key], values[port_key] = host, port[:32]
    return values


def _take(text: str, values: dict[str, str], implied: str) -> None:
    for name, value in _pairs(text, implied):
        values[name] = _checked(name, value)


def _pairs(
    text: str,
    implied: str,
    more: tuple[str, ...] = (),
    report: Callable[[str], object] | None = None,
) -> list[tuple[str, str]]:
    """``name=value,flag,noflag``; a doubled comma is one in a value."""
    pairs = []
    parts = text.replace(",,", "\0").split(",")
    if not parts[-1]:
        parts.pop()  # a comma at the end
    for index, part in enumerate(parts):
        part = part.replace("\0", ",")
        name, equals, value = part.partition("=")
        if not equals:
            if index == 0 and implied:
                name, value = implied, part
            else:
                flag, value = name, "on"
                if name.startswith("no") and name not in OPTIONS:
                    name, value = name.removeprefix("no"), "off"
                if report is not None:
                    report(
                        f"warning: short-form boolean option '{flag}' deprecated\n"
                        f"Please use {name}={value} instead"
                    )
        if name not in OPTIONS and name not in more:
            raise QemuError(f"Invalid parameter '{name}'")
        pairs.append((name, value))
    return pairs


def _checked(name: str, value: str) -> str:
    kind = OPTIONS[name]
    if kind == FLAG and value not in ("on", "off"):
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    if kind == NUMBER:
        try:
            int(value, 0)
        except ValueError as error:
            raise QemuError(f"Parameter '{name}' expects a number") from error
    if kind == SIZE:
        _parse_size(value)
    return value


def _parse_size(value: str) -> int:
    """Bytes of ``4096``, ``0x1000``, ``64k``; decimal fractions are not taken."""
    shift = SIZE_SUFFIXES.get(value[-1:].lower(), -1)
    try:
        size = int(value, 0) if shift < 0 else int(value[:-1]) << shift
    except ValueError:
        size = -1
    if not 0 <= size < 1 << 64:
        raise QemuError(
            "Parameter 'size' expects a non-negative number below 2^64\n"
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
            "and exabytes, respectively."
        )
    return size


def _checked_id(value: str) -> str:
    good = value[:1].isalpha() and value.isascii()
    if not good or not value.translate({ord(c): None for c in "-._"}).isalnum():
        raise QemuError(
            "Parameter 'id' expects an identifier\n"
            "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
        )
    return value


# What ``help`` in the place of a backend lists.
HELP = (
    "stdio ringbuf mux pipe qemu-vdagent null msmouse socket vc parallel udp memory file serial "
    "wctablet pty testdev".split()
)
