"""``-global migration.NAME=VALUE``: the settings of a migration from the start on."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.migration_values import read_switch, read_value
from machine.migration.capabilities import NAMES
from machine.migration.parameters import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine

SWITCHES = (
    "store-global-state",
    "send-configuration",
    "send-section-footer",
    "decompress-error-check",
)

# Properties are called as the parameter or the capability, mostly with "x-" before it.
_PARAMETERS = {
    (row.name if row.name.startswith("x-") else f"x-{row.name}"): row.name
    for row in BY_NAME.values()
    if row.name.startswith(("compress-", "decompress-", "throttle-", "cpu-", "x-"))
    or row.name in ("max-bandwidth", "downtime-limit")
} | {
    name: name
    for name in BY_NAME
    if name.startswith(("multifd-", "announce-", "tls-", "max-postcopy", "max-cpu", "xbzrle-"))
}
_CAPABILITIES = {
    (name if name.startswith("x-") else f"x-{name}"): name
    for name in NAMES
    if name
    not in (
        "pause-before-switchover",
        "dirty-bitmaps",
        "postcopy-blocktime",
        "late-block-activate",
        "x-ignore-shared",
        "validate-uuid",
    )
}
_UNUSED = ("x-preempt-pre-7-2", "x-postcopy-preempt-break-huge")


def apply(machine: Machine, name: str, text: str) -> None:
    """Set a property.

    Raises:
        QemuError: there is none of this name, it can't have this value, or it doesn't go with
            what was set before.
    """
    try:
        value = _value(name, text, machine)
    except QemuError as error:
        raise QemuError(f"can't apply global migration.{name}={text}: {error}") from error
    if name in SWITCHES:
        machine.switches[name] = bool(value)
    elif name == "x-clear-bitmap-shift":
        machine.migration.clear_bitmap_shift = int(value)
    elif name in _CAPABILITIES:
        machine.migration.set_capability(_CAPABILITIES[name], bool(value))
    elif name in _PARAMETERS:
        machine.migration.set_parameter(_PARAMETERS[name], value)


def _value(name: str, text: str, machine: Machine) -> int | bool | str:
    if name in SWITCHES or name in _CAPABILITIES or name in _UNUSED:
        return read_switch(name, text)
    if name == "x-clear-bitmap-shift":
        return read_value(name, "uint8", text, machine.report)
    if name not in _PARAMETERS:
        raise QemuError(f"Property 'migration.{name}' not found")
    kind = BY_NAME[_PARAMETERS[name]].kind
    # Here nobody types megabytes.
    return read_value(name, "size" if kind == "bandwidth" else kind, text, machine.report)
