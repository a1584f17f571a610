"""Processors: those of the machine, and the models that there are of them."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_cpus_fast(session: QmpSession) -> list[dict[str, Any]]:
    return [
        {
            "cpu-index": cpu.index,
            "qom-path": path,
            "thread-id": cpu.thread_id,
            "props": place,
            "target": "x86_64",
        }
        for cpu, (path, place) in zip(
            session.machine.cpus, session.machine.cpu_places(), strict=False
        )
    ]


def query_hotpluggable_cpus(session: QmpSession) -> list[dict[str, Any]]:
    machine = session.machine
    if not machine.board.has_cpu_slots:
        raise QemuError("The feature 'query-hotpluggable-cpus' is not enabled")
    found: list[dict[str, Any]] = []
    for path, place in machine.cpu_places():
        row: dict[str, Any] = {
            "props": place,
            "vcpus-count": 1,
            "type": f"{machine.board.cpu_model}-x86_64-cpu",
        }
        if path:
            row["qom-path"] = path
        found.insert(0, row)
    return found


def set_numa_node(session: QmpSession, **options: Any) -> None:
    raise QemuError("The command is permitted only before the machine has been created")


def query_cpu_definitions(session: QmpSession) -> list[dict[str, Any]]:
    from machine.cpu.models import cpu_models

    found, models, board = [], cpu_models(), session.machine.board.name
    for model in models:
        version = models.version_of(model, board)
        row = {
            "name": model.name,
            "typename": model.type,
            "unavailable-features": (version or model).unavailable,
            "static": model.is_static,
            "migration-safe": model.is_migration_safe,
            "deprecated": False,
        }
        if version is not None:
            row["alias-of"] = version.name
        found.append(row)
    return found


def query_cpu_model_expansion(
    session: QmpSession, *, type: str, model: dict[str, Any]
) -> dict[str, Any]:
    from hmp.qmp.json_writer import in_order
    from machine.cpu.models import cpu_models

    models = cpu_models()
    asked = model.get("props")
    changes = asked if isinstance(asked, dict) else {}  # whatever else it is counts for nothing
    ordered = {name: changes[name] for name in in_order(changes)}
    known = models.find(model["name"])
    version = models.version_of(known, session.machine.board.name)
    found = models.expand(known, ordered, version)
    if type == "static":
        return {"model": {"name": "base", "props": models.static_properties(found)}}
    return {"model": {"name": model["name"], "props": found}}


HANDLERS: dict[str, Handler] = {
    "query-cpu-definitions": query_cpu_definitions,
    "query-cpu-model-expansion": query_cpu_model_expansion,
    "query-cpus-fast": query_cpus_fast,
    "query-hotpluggable-cpus": query_hotpluggable_cpus,
    "set-numa-node": set_numa_node,
}
