"""Memory into files."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def memsave(
    session: QmpSession, *, val: int, size: int, filename: str, cpu_index: int = 0
) -> Iterator[object]:
    from machine.memory_file import save_virtual

    for cpu in session.machine.cpus:
        if cpu.index == cpu_index:
            yield from save_virtual(cpu, val, size, filename)
            return
    raise QemuError("Parameter 'cpu-index' expects a CPU number")


def pmemsave(session: QmpSession, *, val: int, size: int, filename: str) -> Iterator[object]:
    from machine.memory_file import save_physical

    yield from save_physical(session.machine.memory, val, size, filename)


def dump_guest_memory(
    session: QmpSession,
    *,
    paging: bool,
    protocol: str,
    detach: bool = False,
    begin: int | None = None,
    length: int | None = None,
    format: str = "elf",
) -> Iterator[object]:
    from machine.dump import dump_guest_memory

    yield from dump_guest_memory(
        session.machine,
        protocol,
        session.take_descriptor,
        format=format,
        paging=paging,
        detach=detach,
        begin=begin,
        length=length,
    )


def query_dump(session: QmpSession) -> dict[str, Any]:
    return session.machine.dump.value()


def query_dump_guest_memory_capability(session: QmpSession) -> dict[str, list[str]]:
    return {"formats": ["elf", "kdump-zlib", "win-dmp"]}


HANDLERS: dict[str, Handler] = {
    "dump-guest-memory": dump_guest_memory,
    "memsave": memsave,
    "pmemsave": pmemsave,
    "query-dump": query_dump,
    "query-dump-guest-memory-capability": query_dump_guest_memory_capability,
}
