"""What this is, what can be asked, and the human monitor's way in."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession

_OOB = "oob"


def version() -> dict[str, Any]:
    """The version whose words these are, and ours."""
    return {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": f" (hmp {__version__})"}


def qmp_capabilities(session: QmpSession, *, enable: list[str] | None = None) -> None:
    session.negotiate(has_oob=_OOB in (enable or ()))


def query_version(session: QmpSession) -> dict[str, Any]:
    return version()


def query_commands(session: QmpSession) -> list[dict[str, str]]:
    from hmp.qmp.schema import schema

    # Last come in: those that look at their arguments themselves, which QEMU enters by hand.
    names = sorted(_names(), key=lambda name: schema().entry(name).arguments.is_open)
    return [{"name": name} for name in reversed(names)]


def query_qmp_schema(session: QmpSession) -> list[dict[str, Any]]:
    from hmp.qmp.introspection import introspect
    from hmp.qmp.schema import schema

    known = schema()
    simulated = set(_names())
    names = [n for n in known.names if n in simulated or not known.has_command(n)]
    return introspect(map(known.entry, names))


def _names() -> list[str]:
    """The commands there are, in QEMU's order."""
    from hmp.qmp.commands import HANDLERS
    from hmp.qmp.schema import schema

    return [name for name in schema().names if name in HANDLERS]


def query_command_line_options(
    session: QmpSession, *, option: str | None = None
) -> list[dict[str, Any]]:
    from hmp.command_line.option_groups import option_groups

    found = [
        {"option": group.name, "parameters": [key.value() for key in group.keys]}
        for group in option_groups().values()
        if option in (None, group.name)
    ]
    if not found:
        raise QemuError(f"invalid option name: {option}")
    return found


def query_name(session: QmpSession) -> dict[str, str]:
    name = session.machine.name
    return {"name": name} if name else {}


def query_uuid(session: QmpSession) -> dict[str, str]:
    return {"UUID": session.machine.uuid}


def query_target(session: QmpSession) -> dict[str, str]:
    return {"arch": "x86_64"}


def query_kvm(session: QmpSession) -> dict[str, bool]:
    return {"enabled": False, "present": True}


def query_machines(session: QmpSession) -> list[dict[str, Any]]:
    from machine.board_list import boards
    from machine.boards import PC

    found = []
    for board in boards():
        row: dict[str, Any] = {
            "name": board.name,
            "cpu-max": board.max_cpus,
            "hotpluggable-cpus": board.has_cpu_slots,
            "numa-mem-supported": board.has_numa_memory,
            "deprecated": board.is_deprecated,
        }
        if board.ram_name:
            row["default-ram-id"] = board.ram_name
        if board.cpu_model:
            row["default-cpu-type"] = f"{board.cpu_model}-x86_64-cpu"
        for alias in board.aliases:
            row["alias"] = alias
        if board is PC:
            row["is-default"] = True
        found.append(row)
    return found


def human_monitor_command(
    session: QmpSession, *, command_line: str, cpu_index: int | None = None
) -> Generator[object, None, str]:
    """A line as the human monitor runs it; what that prints is the result."""
    from hmp.arguments import FormatMemory
    from hmp.monitor import Monitor

    output: list[str] = []
    session.formats = session.formats or FormatMemory()
    monitor = Monitor(session.machine, output.append, formats=session.formats)
    monitor.aside = session.machine.write_stdout  # among the answers, where those go there too
    monitor.can_wait = False
    monitor.receive_descriptor = session.receive_descriptor
    if cpu_index is not None and not monitor.select_cpu(cpu_index):
        raise QemuError("Parameter 'cpu-index' expects a CPU number")
    yield from monitor.execute(command_line)
    return "".join(output).replace("\n", "\r\n")  # as on any monitor


HANDLERS: dict[str, Handler] = {
    "human-monitor-command": human_monitor_command,
    "qmp_capabilities": qmp_capabilities,
    "query-command-line-options": query_command_line_options,
    "query-commands": query_commands,
    "query-kvm": query_kvm,
    "query-machines": query_machines,
    "query-name": query_name,
    "query-qmp-schema": query_qmp_schema,
    "query-target": query_target,
    "query-uuid": query_uuid,
    "query-version": query_version,
}
