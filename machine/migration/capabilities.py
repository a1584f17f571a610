"""Migration capabilities: which there are, and which go together."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# In the order in which they are shown.
NAMES = (
    "xbzrle",
    "rdma-pin-all",
    "auto-converge",
    "zero-blocks",
    "compress",
    "events",
    "postcopy-ram",
    "x-colo",
    "release-ram",
    "block",
    "return-path",
    "pause-before-switchover",
    "multifd",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "x-ignore-shared",
    "validate-uuid",
    "background-snapshot",
    "zero-copy-send",
    "postcopy-preempt",
)

# In the order in which they are looked at.
_NOT_WITH_BACKGROUND_SNAPSHOT = (
    "postcopy-ram",
    "dirty-bitmaps",
    "postcopy-blocktime",
    "late-block-activate",
    "return-path",
    "multifd",
    "pause-before-switchover",
    "auto-converge",
    "release-ram",
    "rdma-pin-all",
    "compress",
    "xbzrle",
    "x-colo",
    "validate-uuid",
    "zero-copy-send",
)

# With one of these a stream would need records that aren't made here; the others change only how
# fast a migration goes, or nothing at all with the devices there are.
NOT_SIMULATED = (
    "x-colo",
    "x-ignore-shared",
    "background-snapshot",
)

PLAIN_ZERO_COPY = "Zero copy only available for non-compressed non-TLS multifd migration"


class Capabilities:
    """Which capabilities are on."""

    def __init__(self) -> None:
        self._on: set[str] = set()

    def __getitem__(self, name: str) -> bool:
        return name in self._on

    def set(self, name: str, is_on: bool, *, is_compressed_or_encrypted: bool = False) -> None:
        """Switch one of `NAMES`; see `set_all`."""
        self.set_all({name: is_on}, is_compressed_or_encrypted=is_compressed_or_encrypted)

    def set_all(
        self, wanted: Mapping[str, bool], *, is_compressed_or_encrypted: bool = False
    ) -> None:
        """Switch some of `NAMES` together.

        Args:
            wanted: which, and to what.
            is_compressed_or_encrypted: what the parameters say of multifd's channels.

        Raises:
            QemuError: they don't go together; nothing has changed then.
        """
        on = set(self._on)
        for name, is_on in wanted.items():
            (on.add if is_on else on.discard)(name)
        _check(on, is_compressed_or_encrypted)
        self._on = on


def _check(on: set[str], is_compressed_or_encrypted: bool) -> None:
    if {"postcopy-ram", "x-ignore-shared"} <= on:
        raise QemuError("Postcopy is not compatible with ignore-shared")
    if "background-snapshot" in on:
        for name in _NOT_WITH_BACKGROUND_SNAPSHOT:
            if name in on:
                raise QemuError(f"Background-snapshot is not compatible with {name}")
    if "zero-copy-send" in on and (
        "multifd" not in on or {"compress", "xbzrle"} & on or is_compressed_or_encrypted
    ):
        raise QemuError(PLAIN_ZERO_COPY)
    if "postcopy-preempt" in on:
        if "postcopy-ram" not in on:
            raise QemuError("Postcopy preempt requires postcopy-ram")
        if "compress" in on:
            raise QemuError("Postcopy preempt not compatible with compress")
    if {"multifd", "compress"} <= on:
        raise QemuError("Multifd is not compatible with compress")
