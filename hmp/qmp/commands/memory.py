"""Memory into files, keys, screens, and the text that only people read."""

from __future__ import annotations

from blockdev.errors import DeviceNotActive, QemuError

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


def send_key(
    session: QmpSession, *, keys: list[dict[str, Any]], hold_time: int | None = None
) -> None:
    from machine.keyboard import find_code, press

    named = [each["data"] if each["type"] == "qcode" else find_code(each["data"]) for each in keys]
    press(session.machine, named, hold_time)


def screendump(
    session: QmpSession,
    *,
    filename: str,
    device: str | None = None,
    head: int | None = None,
    format: str = "ppm",
) -> None:
    from machine.display.screen_file import save_screen

    if head is not None and device is None:
        raise QemuError("'head' must be specified together with 'device'")
    save_screen(session.machine, filename, format, device, head or 0)


def query_mice(session: QmpSession) -> list[dict[str, Any]]:
    if "ISA" not in session.machine.board.buses:
        return []
    return [{"name": "QEMU PS/2 Mouse", "index": 2, "current": True, "absolute": False}]


def query_vnc(session: QmpSession) -> dict[str, bool]:
    return {"enabled": False}


def query_vnc_servers(session: QmpSession) -> list[Any]:
    return []


def query_spice(session: QmpSession) -> dict[str, Any]:
    return {"enabled": False, "migrated": False, "mouse-mode": "client"}


def query_display_options(session: QmpSession) -> dict[str, str]:
    return {"type": "none"}


def set_password(session: QmpSession, *, protocol: str, **others: Any) -> None:
    _refuse_display(protocol)
    raise QemuError("Could not set password")


def expire_password(session: QmpSession, *, protocol: str, **others: Any) -> None:
    _refuse_display(protocol)
    raise QemuError("Could not set password expire time")


def _refuse_display(protocol: str) -> None:
    """No machine of ours is shown over the network."""
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")


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


def query_stats(session: QmpSession, *, target: str, **others: Any) -> list[Any]:
    """Only KVM provides statistics, so there are never any."""
    return []


def query_stats_schemas(session: QmpSession, **others: Any) -> list[Any]:
    return []


def query_yank(session: QmpSession) -> list[Any]:
    """Nothing of ours can be yanked."""
    return []


def _told(topic: str) -> Handler:
    """A command that answers with the text of an `info` topic."""

    def query(session: QmpSession) -> dict[str, str]:
        from hmp.monitor import Monitor

        output: list[str] = []
        for _ in Monitor(session.machine, output.append).execute(f"info {topic}"):
            pass
        text = "".join(output)
        if text.startswith("Error: "):
            raise QemuError(text.removeprefix("Error: ").rstrip("\n"))
        return {"human-readable-text": text}

    return query


_TOPICS = ("irq", "jit", "numa", "opcount", "profile", "ramblock", "rdma", "roms", "usb")

HANDLERS: dict[str, Handler] = {
    "dump-guest-memory": dump_guest_memory,
    "expire_password": expire_password,
    "memsave": memsave,
    "pmemsave": pmemsave,
    "query-display-options": query_display_options,
    "query-dump": query_dump,
    "query-dump-guest-memory-capability": query_dump_guest_memory_capability,
    "query-mice": query_mice,
    "query-spice": query_spice,
    "query-stats": query_stats,
    "query-stats-schemas": query_stats_schemas,
    "query-vnc": query_vnc,
    "query-vnc-servers": query_vnc_servers,
    "query-yank": query_yank,
    "screendump": screendump,
    "send-key": send_key,
    "set_password": set_password,
    **{f"x-query-{topic}": _told(topic) for topic in _TOPICS},
}
