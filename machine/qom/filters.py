"""Filters of network back ends, as objects; what they do is in `machine.net.filter`."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.host import ChardevUser
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    TEXT,
    UINT32,
    Property,
    flag,
    refuse_zero,
    string,
    unsimulated,
)
from machine.schema import Enum, Integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.machine import Machine
    from machine.net.network import NetClient


def _check_position(_: QomObject, value: str) -> None:
    if value not in ("head", "tail") and not value.startswith("id="):
        raise QemuError("Parameter 'position' expects 'head', 'tail' or 'id=<id>'")


def _check_status(made: QomObject, value: str) -> None:
    if value not in ("on", "off"):
        raise QemuError("Invalid value for netfilter status, should be 'on' or 'off'")
    if made.inside is not None:
        made.inside.is_on = value == "on"


def _check_insert(_: QomObject, value: str) -> None:
    if value not in ("before", "behind"):
        raise QemuError("Invalid value for netfilter insert, should be 'before' or 'behind'")


def _check_interval(_: QomObject, value: int) -> None:
    if not value:
        raise QemuError("Property 'filter-buffer.interval' requires a positive value")


_FILTER = (
    string("netdev", needed=True),
    Property("queue", Enum("all rx tx"), "NetFilterDirection", default="all"),
    Property("status", TEXT, "string", default="on", check=_check_status),
    Property("position", TEXT, "string", default="tail", check=_check_position),
    Property("insert", Enum("before behind"), "string", default="behind", check=_check_insert),
)
_VNET = (flag("vnet_hdr_support", False),)


def _complete_filter(machine: Machine, made: QomObject) -> Any:
    """Put the filter into its back end's list; only ``filter-dump`` does more than being there."""
    from machine.net.filter import DumpFilter, NetFilter

    values = made.values
    netdev = _netdev(machine, made)
    common: Any = (
        made.id,
        netdev,
        lambda: _filter_text(made),
        lambda: machine.objects.forget(made.id),
    )
    if made.type.name == "filter-dump":
        found: NetFilter = DumpFilter(
            *common,
            path=values["file"],
            max_length=values["maxlen"],
            now_us=machine.rtc_clock.stamps_us(),
            complain=lambda text: machine.complain(f"{machine.program}: {text}"),
        )
    else:
        found = NetFilter(*common)
    try:
        found.insert(values["position"], values["insert"])
    except QemuError:
        found.close()
        raise
    found.queue = values["queue"]
    found.is_on = values["status"] == "on"
    return found


def _netdev(machine: Machine, made: QomObject) -> NetClient:
    """The back end that a filter is for."""
    netdev = machine.network.find_netdev(made.values["netdev"])
    if netdev is None:
        raise QemuError("Parameter 'netdev' expects a network backend id")
    return netdev


def _filter_text(made: QomObject) -> str:
    names = reversed(made.type.names_in_order)
    shown = [f"{name}={_shown(made.values[name])}" for name in names]
    return ",".join([made.type.name, *shown])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _redirector(machine: Machine, made: QomObject) -> None:
    _netdev(machine, made)
    if made.values["indev"] is None and made.values["outdev"] is None:
        raise QemuError("filter redirector needs 'indev' or 'outdev' at least one property set")
    unsimulated(machine, made)


def _mirror(machine: Machine, made: QomObject) -> None:
    _netdev(machine, made)
    ChardevUser(machine, made.values["outdev"]).close()
    unsimulated(machine, made)


TYPES = (
    ObjectType(
        "filter-buffer",
        _FILTER,
        (
            Property(
                "interval",
                UINT32,
                "uint32",
                default=0,
                check=_check_interval,
                is_optional=False,
            ),
        ),
        complete=_complete_filter,
    ),
    ObjectType(
        "filter-dump",
        _FILTER,
        (
            string("file", needed=True),
            Property(
                "maxlen",
                UINT32,
                "uint32",
                default=65536,
                check=refuse_zero("filter-dump", "maxlen", "Property"),
            ),
        ),
        complete=_complete_filter,
    ),
    ObjectType("filter-mirror", _FILTER, (string("outdev", needed=True), *_VNET), complete=_mirror),
    ObjectType(
        "filter-redirector",
        _FILTER,
        (string("indev"), string("outdev"), *_VNET),
        complete=_redirector,
    ),
    ObjectType("filter-replay", _FILTER, complete=_complete_filter),
    ObjectType("filter-rewriter", _FILTER, _VNET, complete=_complete_filter),
    ObjectType(
        "colo-compare",
        (
            *(string(name, needed=True) for name in "primary_in secondary_in outdev".split()),
            string("iothread", needed=True),
            string("notify_dev"),
            Property("compare_timeout", Integer(is_signed=False), "uint64"),
            Property("expired_scan_cycle", UINT32, "uint32"),
            Property("max_queue_size", UINT32, "uint32"),
        ),
        _VNET,
        complete=unsimulated,
    ),
)
