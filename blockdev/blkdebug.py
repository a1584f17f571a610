"""Driver ``blkdebug``: makes requests fail where and when the user wants it.

A format tells its file node what it is about to do (`BlockNode.debug_event`). A rule for such an
event lets the requests that follow fail, or changes the state that other rules ask for.
"""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.filter import FilterNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode

EVENTS = frozenset(
    "l1_update l1_grow_alloc_table l1_grow_write_table l1_grow_activate_table l2_load l2_update "
    "l2_update_compressed l2_alloc_cow_read l2_alloc_write read_aio read_backing_aio "
    "read_compressed write_aio write_compressed vmstate_load vmstate_save cow_read cow_write "
    "reftable_load reftable_grow reftable_update refblock_load refblock_update "
    "refblock_update_part refblock_alloc refblock_alloc_hookup refblock_alloc_write "
    "refblock_alloc_write_blocks refblock_alloc_write_table refblock_alloc_switch_table "
    "cluster_alloc cluster_alloc_bytes cluster_free flush_to_os flush_to_disk pwritev_rmw_head "
    "pwritev_rmw_after_head pwritev_rmw_tail pwritev_rmw_after_tail pwritev pwritev_zero "
    "pwritev_done empty_image_prepare l1_shrink_write_table l1_shrink_free_l2_clusters "
    "cor_write cluster_alloc_space none".split()
)
IO_TYPES = ("read", "write", "write-zeroes", "discard", "flush", "block-status")
_SECTOR = 512


class InjectError:
    """Lets requests fail.

    Attributes:
        event: after which.
        state: in which state of the node; 0 for any.
        iotype: what kind of request; "" for any.
        sector: which one must be touched; -1 for any.
        once: only the first.
    """

    __slots__ = ("errno", "event", "iotype", "once", "sector", "state")

    def __init__(
        self,
        event: str,
        *,
        errno: int = errno.EIO,
        state: int = 0,
        iotype: str = "",
        sector: int = -1,
        once: bool = False,
    ) -> None:
        self.event = event
        self.errno = errno
        self.state = state
        self.iotype = iotype
        self.sector = sector
        self.once = once


class SetState:
    """Changes the node's state at an event."""

    __slots__ = ("event", "new_state", "state")

    def __init__(self, event: str, *, new_state: int, state: int = 0) -> None:
        self.event = event
        self.state = state
        self.new_state = new_state


class BlkDebugNode(FilterNode):
    """Hands on what doesn't have to fail."""

    driver = "blkdebug"

    def __init__(
        self,
        node_name: str,
        file: BlockNode,
        errors: list[InjectError],
        states: list[SetState],
        *,
        options: Mapping[str, str] | None = None,
        config: str = "",
    ) -> None:
        super().__init__(node_name, file)
        self.state = 1
        self.config = config
        self._errors = errors
        self._states = states
        self._active: list[InjectError] = []
        self._options = dict(options or {})
        self.debug_event("none")

    @property
    def allocated_bytes(self) -> int:
        return -1  # QEMU's doesn't ask the file

    @property
    def shown_options(self) -> dict[str, object]:
        kept = ("inject-error.", "set-state.", "config", "align")
        return {k: _typed(v) for k, v in self._options.items() if k.startswith(kept)}

    def debug_event(self, event: str) -> None:
        hits = [
            rule for rule in self._errors if rule.event == event and rule.state in (0, self.state)
        ]
        if hits:
            self._active = hits
        for change in self._states:
            if change.event == event and change.state in (0, self.state):
                self.state = change.new_state
                break
        self.file.debug_event(event)

    def _check(self, iotype: str, offset: int = 0, size: int = 0) -> None:
        for rule in self._active:
            place = rule.sector * _SECTOR
            if rule.iotype not in ("", iotype):
                continue
            if rule.sector >= 0 and not offset <= place < offset + size:
                continue
            if rule.once:
                self._active.remove(rule)
                self._errors.remove(rule)
            raise QemuError(os.strerror(rule.errno), rule.errno)

    def read(self, offset: int, size: int) -> bytes:
        self._check("read", offset, size)
        return super().read(offset, size)

    def read_into(self, offset: int, view: memoryview) -> None:
        self._check("read", offset, len(view))
        super().read_into(offset, view)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._check("write", offset, sum(map(len, buffers)))
        super().write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self._check("write-zeroes", offset, size)
        super().write_zeroes(offset, size, may_unmap=may_unmap)

    def discard(self, offset: int, size: int) -> None:
        self._check("discard", offset, size)
        super().discard(offset, size)

    def flush(self) -> None:
        self._check("flush")
        super().flush()


def read_rules(options: Mapping[str, str]) -> tuple[list[InjectError], list[SetState]]:
    """The rules of options like ``inject-error.0.event``.

    Raises:
        QemuError: one can't be.
    """
    groups: dict[tuple[str, int], dict[str, str]] = {}
    for name, value in options.items():
        kind, _, rest = name.partition(".")
        number, dot, key = rest.partition(".")
        if kind in ("inject-error", "set-state") and dot and number.isdigit():
            groups.setdefault((kind, int(number)), {})[key] = value
    ordered = [(kind, group) for (kind, _), group in sorted(groups.items())]
    if "config" in options:
        ordered = read_config(options["config"]) + ordered
    return make_rules(ordered)


def read_config(filename: str) -> list[tuple[str, dict[str, str]]]:
    """The rules of a file: sections with ``key = "value"`` lines.

    Raises:
        QemuError: it can't be read.
    """
    found: list[tuple[str, dict[str, str]]] = []
    try:
        with open(filename, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError as error:
        text = f"Could not open '{filename}': {os.strerror(error.errno or errno.EIO)}"
        raise QemuError(text, error.errno or errno.EIO) from error
    for number, raw_line in enumerate(lines, 1):
        line = raw_line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            found.append((line[1:-1].split()[0].strip('"'), {}))
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not found or len(value) < 2 or value[0] + value[-1] != '""':
            raise QemuError(f"{filename}:{number}: parse error", errno.EINVAL)
        found[-1][1][key.replace("_", "-") if key == "new_state" else key] = value[1:-1]
    return found


def make_rules(
    groups: Sequence[tuple[str, Mapping[str, str]]],
) -> tuple[list[InjectError], list[SetState]]:
    """Rules of their options.

    Raises:
        QemuError: one can't be.
    """
    errors: list[InjectError] = []
    states: list[SetState] = []
    for kind, group in groups:
        event = group.get("event", "")
        if not event:
            raise QemuError("Missing event name for rule", errno.EINVAL)
        if event not in EVENTS:
            raise QemuError(f'Invalid event name "{event}"', errno.EINVAL)
        if kind == "inject-error":
            iotype = group.get("iotype", "")
            if iotype not in ("", *IO_TYPES):
                raise QemuError(f"invalid parameter value: {iotype}", errno.EINVAL)
            errors.append(
                InjectError(
                    event,
                    errno=_integer(group, "errno", errno.EIO),
                    state=_integer(group, "state", 0),
                    iotype=iotype,
                    sector=_integer(group, "sector", -1),
                    once=group.get("once", "off") in ("on", "yes", "true", "y"),
                )
            )
        else:
            new_state = _integer(group, "new-state" if "new-state" in group else "new_state", 0)
            states.append(SetState(event, new_state=new_state, state=_integer(group, "state", 0)))
    return errors, states


def _integer(group: Mapping[str, str], name: str, default: int) -> int:
    text = group.get(name)
    if text is None:
        return default
    try:
        return int(text, 0)
    except ValueError:
        raise QemuError(f"Parameter '{name}' expects a number", errno.EINVAL) from None


def _typed(text: str) -> object:
    if text in ("on", "off"):
        return text == "on"
    return int(text) if text.isdigit() else text
