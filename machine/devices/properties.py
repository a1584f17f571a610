"""The properties that each type of device takes: what ``driver,help`` tells."""

from __future__ import annotations

import json

from blockdev.errors import DeviceNotFound, QemuError
from machine.devices.models import full_name
from machine.qom.known_types import known_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.qom.known_types import KnownProperty

_INDENT = 24  # where descriptions begin


def describe(name: str) -> list[str]:
    """The lines that help shows of a model, or of what an alias stands for.

    Raises:
        QemuError: there is no such type, or devices can't be of it.
    """
    types = known_types()
    type = full_name(name)
    known = types.find(type)
    if known is None:
        raise DeviceNotFound(type)
    if known.is_abstract or not types.is_a(known, "device"):
        raise QemuError("Parameter 'typename' expects a non-abstract device type")
    lines = sorted(_line(property) for property in types.device_properties(known))
    return [f"{type} options:", *lines] if lines else [f"There are no options for {type}."]


def _line(property: KnownProperty) -> str:
    text = f"  {property.name}=<{property.kind}>"
    if property.about or property.has_default:
        text = f"{text:<{_INDENT}} - {property.about}"
    return text + (f" (default: {json.dumps(property.default)})" if property.has_default else "")
