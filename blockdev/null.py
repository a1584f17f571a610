"""Drivers ``null-co`` and ``null-aio``: a disk of zeros that forgets what is written."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.node import BlockNode, CacheMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdev.file import Buffer
    from blockdev.graph import Graph
    from blockdev.status import BlockStatus

DEFAULT_SIZE = 1 << 30


class NullNode(BlockNode):
    """A disk without bytes.

    Attributes:
        options: those that the user gave besides, as its name shows them.
    """

    def __init__(
        self,
        node_name: str,
        driver: str,
        *,
        size: int = DEFAULT_SIZE,
        read_only: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(node_name, f"{driver}://", read_only=read_only, cache=CacheMode())
        self.driver = driver
        self.options = dict(options or {})
        self._size = size

    @property
    def shown_options(self) -> dict[str, object]:
        return self.options

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        return bytes(size)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.mark_dirty(offset, sum(map(len, buffers)))

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.mark_dirty(offset, size)

    def reopen(self, *, read_only: bool) -> None:
        self.read_only = read_only

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import OFFSET_VALID, ZERO, BlockStatus

        # What was never promised to be zeros isn't data either.
        flags = OFFSET_VALID | (ZERO if self.options.get("read-zeroes") in (True, "on") else 0)
        return BlockStatus(flags, size, offset, self)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return True, size


def open_null(
    graph: Graph,
    driver: str,
    node_name: str | None,
    options: Mapping[str, str],
    prefix: str,
    *,
    read_only: bool,
    is_loose: bool = False,
) -> NullNode:
    """Make such a node of its options.

    Args:
        is_loose: sizes may have suffixes, and its name shows all values as they were typed.

    Raises:
        QemuError: a value can't be.
    """
    shown: dict[str, object] = {}
    for name in ("size", "latency-ns"):
        if name in options:
            text = options[name]
            if is_loose:
                text = str(size_of(name, text))
            if not (text.isascii() and text.removeprefix("-").isdigit()):
                raise QemuError(f"Parameter '{prefix}{name}' expects integer", errno.EINVAL)
            shown[name] = int(text)
    if "read-zeroes" in options:
        if options["read-zeroes"] not in ("on", "off", "true", "false", "yes", "no", "y", "n"):
            raise QemuError(f"Parameter '{prefix}read-zeroes' expects 'on' or 'off'")
        shown["read-zeroes"] = options["read-zeroes"] in ("on", "true", "yes", "y")
    size = shown.get("size", DEFAULT_SIZE)
    assert isinstance(size, int)
    if is_loose:
        shown = {name: options[name] for name in shown}
    node = NullNode(
        node_name or graph.new_name(), driver, size=size, read_only=read_only, options=shown
    )
    graph.add(node)
    if shown:
        from blockdev.naming import tree_name

        node.filename = tree_name(node)
    return node


def size_of(name: str, text: str) -> int:
    """A size with a suffix perhaps."""
    units = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
    shift = units.get(text[-1:].lower(), 0)
    digits = text[:-1] if shift else text
    if not (digits.isascii() and digits.isdigit()):
        raise QemuError(f"Parameter '{name}' expects a number", errno.EINVAL)
    return int(digits) << shift
