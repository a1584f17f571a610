"""Migration parameters: which there are, what they may be, and how they are shown."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.migration.capabilities import PLAIN_ZERO_COPY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Value = int | bool | str

PAGE_SIZE = 4096
MIB = 1 << 20


class Parameter:
    """One parameter.

    Attributes:
        name: as commands spell it.
        kind: what is typed for it: "uint8", "uint32", "size", "signed-size" (below 2^63),
            "bandwidth" (likewise, in MiB), "bool", "text" or "compression".
        default: its value at first.
        shown: how `info migrate_parameters` shows a value; "" if not at all.
        is_valid: whether a value may be.
        expects: what is said of one that may not.
    """

    __slots__ = ("default", "expects", "is_valid", "kind", "name", "shown")

    def __init__(
        self,
        name: str,
        kind: str,
        default: Value,
        shown: str = "{}",
        *,
        is_valid: Callable[[int], bool] | None = None,
        expects: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.shown = shown
        self.is_valid = is_valid
        self.expects = expects


def _between(low: int, high: int, said_low: int | None = None) -> dict[str, Any]:
    low_text = low if said_low is None else said_low
    return {
        "is_valid": lambda value: low <= value <= high,
        "expects": f"a value between {low_text} and {high}",
    }


def _percent(low: int, high: int) -> dict[str, Any]:
    return {
        "is_valid": lambda value: low <= value <= high,
        "expects": f"an integer in the range of {low} to {high}",
    }


COMPRESSIONS = ("none", "zlib", "zstd")

# In the order in which they are shown.
PARAMETERS = (
    Parameter("announce-initial", "size", 50, "{} ms", **_between(0, 100000)),
    Parameter("announce-max", "size", 550, "{} ms", **_between(0, 100000)),
    Parameter("announce-rounds", "size", 5, **_between(0, 1000)),
    Parameter("announce-step", "size", 100, "{} ms", **_between(1, 10000, 0)),
    Parameter("compress-level", "uint8", 1, **_between(0, 9)),
    Parameter("compress-threads", "uint8", 8, **_between(1, 255)),
    Parameter("compress-wait-thread", "bool", True),
    Parameter("decompress-threads", "uint8", 2, **_between(1, 255)),
    Parameter("throttle-trigger-threshold", "uint8", 50, **_percent(1, 100)),
    Parameter("cpu-throttle-initial", "uint8", 20, **_percent(1, 99)),
    Parameter("cpu-throttle-increment", "uint8", 10, **_percent(1, 99)),
    Parameter("cpu-throttle-tailslow", "bool", False),
    Parameter("max-cpu-throttle", "uint8", 99),
    Parameter("tls-creds", "text", "", "'{}'"),
    Parameter("tls-hostname", "text", "", "'{}'"),
    Parameter("max-bandwidth", "bandwidth", 128 * MIB, "{} bytes/second"),
    Parameter(
        "downtime-limit",
        "size",
        300,
        "{} ms",
        is_valid=lambda value: value <= 2_000_000,
        expects="an integer in the range of 0 to (2000 * 1000) ms",
    ),
    Parameter("x-checkpoint-delay", "uint32", 20000, "{} ms"),
    Parameter("block-incremental", "bool", False),
    Parameter("multifd-channels", "uint8", 2, **_between(1, 255)),
    Parameter("multifd-compression", "compression", "none"),
    Parameter(
        "xbzrle-cache-size",
        "signed-size",
        64 * MIB,
        "{} bytes",
        is_valid=lambda value: value >= PAGE_SIZE and not value & value - 1,
        expects="a power of two no less than the target page size",
    ),
    Parameter("max-postcopy-bandwidth", "size", 0),
    Parameter("tls-authz", "text", "", "'{}'"),
    Parameter("multifd-zlib-level", "uint8", 1, ""),
    Parameter("multifd-zstd-level", "uint8", 1, ""),
)
# What Tab offers, in QEMU's order: that is what it shows when several fit.
COMPLETED_NAMES = tuple(
    "announce-initial announce-max announce-rounds announce-step compress-level compress-threads "
    "decompress-threads compress-wait-thread throttle-trigger-threshold cpu-throttle-initial "
    "cpu-throttle-increment cpu-throttle-tailslow tls-creds tls-hostname tls-authz max-bandwidth "
    "downtime-limit x-checkpoint-delay block-incremental multifd-channels xbzrle-cache-size "
    "max-postcopy-bandwidth max-cpu-throttle multifd-compression multifd-zlib-level "
    "multifd-zstd-level block-bitmap-mapping".split()
)
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


class Parameters:
    """The values."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {row.name: row.default for row in PARAMETERS}

    def number(self, name: str) -> int:
        return int(self._values[name])

    def shown(self, row: Parameter) -> str:
        """A value as it is shown."""
        value = self._values[row.name]
        if row.kind == "bool":
            value = "on" if value else "off"
        return row.shown.format(value)

    def typed(self, row: Parameter) -> str:
        """A value as `migrate_set_parameter` takes it."""
        value = self._values[row.name]
        if row.kind == "bool":
            return "on" if value else "off"
        return f"{value}B" if row.kind == "bandwidth" else str(value)

    @property
    def is_compressed_or_encrypted(self) -> bool:
        """What becomes of the bytes of multifd's channels."""
        return self._values["multifd-compression"] != "none" or bool(self._values["tls-creds"])

    @property
    def is_block_incremental(self) -> bool:
        return bool(self._values["block-incremental"])

    @is_block_incremental.setter
    def is_block_incremental(self, is_incremental: bool) -> None:
        self._values["block-incremental"] = is_incremental

    @property
    def tls_creds(self) -> str:
        """The id of the object that encrypts; "" for none."""
        return str(self._values["tls-creds"])

    def values(self) -> dict[str, Value]:
        """All of them, by name."""
        return dict(self._values)

    def set_all(self, values: Mapping[str, Value], *, zero_copy: bool = False) -> None:
        """Change some together.

        Args:
            values: by names of `BY_NAME`, of the types that their kinds say.
            zero_copy: whether that capability is on.

        Raises:
            QemuError: one can't be; nothing has changed then.
        """
        for name in sorted(values, key=_place):
            row = BY_NAME[name]
            if row.is_valid is not None and not row.is_valid(int(values[name])):
                raise _refusal(name, row.expects)
        before = self._values
        self._values = {**before, **values}
        try:
            if not self.number("cpu-throttle-initial") <= self.number("max-cpu-throttle") <= 99:
                expects = "an integer in the range of cpu_throttle_initial to 99"
                raise _refusal("max-cpu-throttle", expects)
            if zero_copy and self.is_compressed_or_encrypted:
                raise QemuError(PLAIN_ZERO_COPY)
        except QemuError:
            self._values = before
            raise


def _place(name: str) -> tuple[bool, int]:
    """When a parameter is looked at: those of announcements last."""
    return name.startswith("announce"), [row.name for row in PARAMETERS].index(name)


def _refusal(name: str, expects: str) -> QemuError:
    return QemuError(f"Parameter '{name.replace('-', '_')}' expects {expects}")
