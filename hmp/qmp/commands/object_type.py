"""The types of objects there are, and what properties objects and devices of a type have."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, NotFound, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession
    from machine.qom.known_types import KnownProperty


def qom_list_types(
    session: QmpSession, *, implements: str | None = None, abstract: bool = False
) -> list[dict[str, Any]]:
    from machine.qom.known_types import known_types

    types = known_types()
    found = []
    for each in types:
        if each.is_abstract and not abstract:
            continue
        if implements is not None and not types.is_a(each, implements):
            continue
        row: dict[str, Any] = {"name": each.name}
        if each.is_abstract:
            row["abstract"] = True
        if each.parent:
            row["parent"] = each.parent
        found.append(row)
    return found


def qom_list_properties(session: QmpSession, *, typename: str) -> list[dict[str, Any]]:
    from machine.qom.known_types import known_types

    types = known_types()
    found = types.find(typename)
    if found is None:
        raise NotFound(f"Class '{typename}' not found")
    if not types.is_a(found, "object"):
        raise QemuError("Parameter 'typename' expects a QOM type")
    return _rows(types.properties(found))


def device_list_properties(session: QmpSession, *, typename: str) -> list[dict[str, Any]]:
    from machine.qom.known_types import known_types

    types = known_types()
    found = types.find(typename)
    if found is None:
        raise DeviceNotFound(typename)
    if found.is_abstract or not types.is_a(found, "device"):
        raise QemuError("Parameter 'typename' expects a non-abstract device type")
    rows = _rows(types.device_properties(found))
    for row, each in zip(rows, types.device_properties(found), strict=True):
        if each.has_default:
            row["default-value"] = each.default
    return rows


def _rows(properties: Sequence[KnownProperty]) -> list[dict[str, Any]]:
    found = []
    for each in properties:
        row = {"name": each.name, "type": each.kind}
        if each.about:
            row["description"] = each.about
        found.append(row)
    return found


HANDLERS: dict[str, Handler] = {
    "device-list-properties": device_list_properties,
    "qom-list-properties": qom_list_properties,
    "qom-list-types": qom_list_types,
}
