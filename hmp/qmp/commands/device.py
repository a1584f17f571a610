"""Devices, objects beside the machine, and the tree of all objects."""

from __future__ import annotations

from blockdev.errors import DeviceNotActive, QemuError
from machine.devices.bus import root_bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def device_add(session: QmpSession, *, options: dict[str, Any]) -> None:
    texts = {name: _text(value) for name, value in options.items()}
    session.machine.plugs.plug(texts, is_hotplug=True)


def _text(value: Any) -> str:
    """A property's value as people type it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def device_del(session: QmpSession, *, id: str) -> None:
    session.machine.plugs.unplug(id)


def object_add(session: QmpSession, **options: Any) -> None:
    from hmp.qmp.schema import schema
    from machine.schema import JSON

    session.machine.objects.add(schema().entry("object-add").spelled(options), JSON)


def object_del(session: QmpSession, *, id: str) -> None:
    session.machine.objects.delete(id)


def qom_list(session: QmpSession, *, path: str) -> list[dict[str, str]]:
    from machine.qom.tree import properties

    found = properties(session.machine, path)
    return [{"name": name, "type": kind} for name, kind in found]


def qom_get(session: QmpSession, *, path: str, property: str) -> Any:
    from machine.qom.tree import get_property

    return get_property(session.machine, path, property)


def qom_set(session: QmpSession, *, path: str, property: str, value: Any) -> None:
    from machine.qom.tree import set_value

    set_value(session.machine, path, property, value)


def query_iothreads(session: QmpSession) -> list[dict[str, Any]]:
    import _thread

    names = ("poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch")
    return [
        {
            "id": each.id,
            "thread-id": _thread.get_native_id(),
            **{name: each.values[name] for name in names},
        }
        for each in reversed(session.machine.objects.of_type("iothread"))
    ]


def query_memdev(session: QmpSession) -> list[dict[str, Any]]:
    from machine.inventory import MEMORY_TYPES

    machine = session.machine
    names = ("size", "merge", "dump", "prealloc", "share", "reserve", "host-nodes", "policy")
    found: list[dict[str, Any]] = []
    for each in machine.objects.of_type(*MEMORY_TYPES):
        found.append({"id": each.id, **{name: each.values[name] for name in names}})
    if machine.ram_size:
        found.append(
            {
                "id": machine.board.ram_name,
                "size": machine.ram_size,
                "merge": True,
                "dump": True,
                "prealloc": False,
                "share": False,
                "reserve": True,
                "host-nodes": [],
                "policy": "default",
            }
        )
    return found


def query_memory_size_summary(session: QmpSession) -> dict[str, int]:
    return {"base-memory": session.machine.ram_size, "plugged-memory": 0}


def query_memory_devices(session: QmpSession) -> list[Any]:
    """None: no machine of ours can have memory plugged in."""
    return []


def query_pci(session: QmpSession) -> list[dict[str, Any]]:
    machine = session.machine
    root = root_bus(machine.buses)
    if root is None or root.slots is None:
        return []
    return [{"bus": 0, "devices": root.slots.values()}]


def query_acpi_ospm_status(session: QmpSession) -> list[Any]:
    """What becomes of plugs by ACPI: no slot of ours has any."""
    if not session.machine.board.has_apic:
        raise QemuError("command is not supported, missing ACPI device")
    return []


def dumpdtb(session: QmpSession, *, filename: str) -> None:
    raise QemuError("This machine doesn't have a FDT")


def query_balloon(session: QmpSession) -> dict[str, int]:
    from machine.devices.table_models import has_balloon

    if has_balloon(session.machine):
        return {"actual": session.machine.ram_size}
    raise DeviceNotActive("No balloon device has been activated")


def balloon(session: QmpSession, *, value: int) -> None:
    if value <= 0:
        raise QemuError("Parameter 'target' expects a size")
    from machine.devices.table_models import has_balloon

    if not has_balloon(session.machine):
        raise DeviceNotActive("No balloon device has been activated")


def query_vm_generation_id(session: QmpSession) -> None:
    raise QemuError("VM Generation ID device not found")


def query_tpm(session: QmpSession) -> list[Any]:
    return []


def query_tpm_models(session: QmpSession) -> list[str]:
    return ["tpm-crb", "tpm-tis"]


def query_tpm_types(session: QmpSession) -> list[str]:
    return ["passthrough", "emulator"]


HANDLERS: dict[str, Handler] = {
    "balloon": balloon,
    "device_add": device_add,
    "device_del": device_del,
    "dumpdtb": dumpdtb,
    "object-add": object_add,
    "object-del": object_del,
    "qom-get": qom_get,
    "qom-list": qom_list,
    "qom-set": qom_set,
    "query-acpi-ospm-status": query_acpi_ospm_status,
    "query-balloon": query_balloon,
    "query-iothreads": query_iothreads,
    "query-memdev": query_memdev,
    "query-memory-devices": query_memory_devices,
    "query-memory-size-summary": query_memory_size_summary,
    "query-pci": query_pci,
    "query-tpm": query_tpm,
    "query-tpm-models": query_tpm_models,
    "query-tpm-types": query_tpm_types,
    "query-vm-generation-id": query_vm_generation_id,
}
