"""Memory backends."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    BOOL,
    SIZE,
    TEXT,
    UINT32,
    Property,
    flag,
    refuse_zero,
    string,
)
from machine.schema import Enum, Integer, List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


_POLICIES = "default preferred bind interleave"


def _memory(type: str, *, share: bool = False) -> tuple[Property, ...]:
    return (
        flag("dump", True, "Set to 'off' to exclude from core dump"),
        Property(
            "host-nodes",
            List(Integer(16, is_signed=False)),
            "int",
            default=[],
            about="Binds memory to the list of NUMA host nodes",
        ),
        flag("merge", True, "Mark memory as mergeable"),
        Property(
            "policy",
            Enum(_POLICIES),
            "HostMemPolicy",
            default="default",
            about="Set the NUMA policy",
        ),
        flag("prealloc", False, "Preallocate memory"),
        Property(
            "prealloc-threads",
            UINT32,
            "int",
            default=1,
            about="Number of CPU threads to use for prealloc",
        ),
        Property(
            "prealloc-context",
            TEXT,
            "link<thread-context>",
            about="Context to use for creating CPU threads for preallocation",
        ),
        flag("share", share, "Mark the memory as private to QEMU or shared"),
        flag("reserve", True, "Reserve swap space (or huge pages) if applicable"),
        Property(
            "size",
            SIZE,
            "int",
            default=0,
            check=refuse_zero(type, "size"),
            about="Size of the memory region (ex: 500M)",
            is_optional=False,
        ),
        Property("x-use-canonical-path-for-ramblock-id", BOOL, "bool", default=False),
    )


class MemoryBackend:
    """The host's memory behind a memory object; no device of ours maps it yet."""

    def __init__(self, name: str, size: int) -> None:
        from machine.memory import PAGE_SIZE, RamBlock

        self.block = RamBlock(name, -(-size // PAGE_SIZE) * PAGE_SIZE)

    def close(self) -> None:
        """The mapping goes with the object."""


def _complete_memory(machine: Machine, made: QomObject) -> MemoryBackend:
    values = made.values
    if values["policy"] in ("bind", "interleave") and not values["host-nodes"]:
        raise QemuError(f"host-nodes must be set for policy {values['policy']}")
    if values["policy"] == "default" and values["host-nodes"]:
        raise QemuError(
            "host-nodes must be empty for policy default, or you should explicitly "
            "specify a policy other than default"
        )
    if values["prealloc"] and not values["reserve"]:
        raise QemuError("'prealloc=on' and 'reserve=off' are incompatible")
    return MemoryBackend(made.id, values["size"])


def _complete_file_memory(machine: Machine, made: QomObject) -> MemoryBackend:
    path = made.values["mem-path"]
    flags = os.O_RDONLY if made.values["readonly"] else os.O_RDWR | os.O_CREAT
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError as error:
        text = f"can't open backing store {path} for guest RAM: {os.strerror(error.errno or 0)}"
        raise QemuError(text, error.errno or 0) from error
    try:
        if not made.values["readonly"] and os.fstat(fd).st_size < made.values["size"]:
            os.ftruncate(fd, made.values["size"])
    except OSError:
        pass  # QEMU goes on too, and finds out when it touches the memory
    finally:
        os.close(fd)
    return _complete_memory(machine, made)


TYPES = (
    ObjectType(
        "memory-backend-file",
        _memory("memory-backend-file"),
        (
            Property("align", SIZE, "int", default=0),
            flag("discard-data", False),
            string("mem-path", needed=True),
            flag("pmem", False),
            flag("readonly", False),
        ),
        complete=_complete_file_memory,
    ),
    ObjectType(
        "memory-backend-memfd",
        _memory("memory-backend-memfd", share=True),
        (
            flag("hugetlb", False, "Use huge pages"),
            Property("hugetlbsize", SIZE, "int", default=0, about="Huge pages size (ex: 2M, 1G)"),
            flag("seal", True, "Seal growing & shrinking"),
        ),
        complete=_complete_memory,
    ),
    ObjectType("memory-backend-ram", _memory("memory-backend-ram"), complete=_complete_memory),
)
