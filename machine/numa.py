"""Which memory and which processors are near each other: the nodes of ``-numa``."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.schema import OPTIONS, Enum, Integer, Member, Size, Text, read_integer, read_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from machine.machine import Machine

_NODE_LIMIT = 128
_MIB = 1 << 20
_LOCAL_DISTANCE = 10
_CPU_PLACE = ("socket-id", "die-id", "cluster-id", "core-id", "thread-id")
_MEMBERS = {
    "node": (
        Member("nodeid", Integer(16, is_signed=False)),
        Member("mem", Size()),
        Member("memdev", Text()),
        Member("initiator", Integer(16, is_signed=False)),
    ),
    "dist": (
        Member("src", Integer(16, is_signed=False), is_optional=False),
        Member("dst", Integer(16, is_signed=False), is_optional=False),
        Member("val", Integer(8, is_signed=False), is_optional=False),
    ),
    "cpu": (
        Member("node-id", Integer()),
        *(Member(name, Integer()) for name in _CPU_PLACE),
    ),
    "hmat-lb": (
        Member("initiator", Integer(16, is_signed=False), is_optional=False),
        Member("target", Integer(16, is_signed=False), is_optional=False),
        Member("hierarchy", Enum("memory first-level second-level third-level"), is_optional=False),
        Member(
            "data-type",
            Enum(
                "access-latency read-latency write-latency "
                "access-bandwidth read-bandwidth write-bandwidth"
            ),
            is_optional=False,
        ),
        Member("latency", Integer(is_signed=False)),
        Member("bandwidth", Size()),
    ),
    "hmat-cache": (
        Member("node-id", Integer(32, is_signed=False), is_optional=False),
        Member("size", Size(), is_optional=False),
        Member("level", Integer(8, is_signed=False), is_optional=False),
        Member("associativity", Enum("none direct complex"), is_optional=False),
        Member("policy", Enum("none write-back write-through"), is_optional=False),
        Member("line", Integer(16, is_signed=False), is_optional=False),
    ),
}


class Node:
    """One node.

    Attributes:
        size: of its memory, in bytes.
        memory: the object whose memory it is; "" for the machine's own.
    """

    __slots__ = ("memory", "size")

    def __init__(self, size: int, memory: str) -> None:
        self.size = size
        self.memory = memory


class Numa:
    """The nodes of a machine, put together option by option.

    Args:
        machine: with its processors' places known; memory objects are there already.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._places = [place for _, place in machine.cpu_places()]
        self._node_of: list[int | None] = [None] * len(self._places)
        self._nodes: dict[int, Node] = {}

    def take(self, pairs: Sequence[tuple[str, str]], warn: Callable[[str], object]) -> None:
        """Take one option: its keys and values in order.

        Args:
            pairs: ``type`` among them.
            warn: takes what is to be warned of.

        Raises:
            QemuError: it can't be.
        """
        values = {key: value for key, value in pairs if key not in ("type", "cpus")}
        kind = dict(pairs).get("type")
        if kind is None:
            raise QemuError("Parameter 'type' is missing")
        if kind not in _MEMBERS:
            raise QemuError(f"Parameter 'type' does not accept value '{kind}'")
        ranges = [value for key, value in pairs if key == "cpus"]
        if kind == "node":
            cpus = [number for text in ranges for number in _range(text)]
        elif ranges:
            values["cpus"] = ranges[-1]
        if values.get("mem", "")[-1:].isdigit():
            values["mem"] += "M"  # a number alone has always been one of MiB
        found = read_members(_MEMBERS[kind], values, OPTIONS)
        if not self._places:
            raise QemuError("NUMA is not supported by this machine-type")
        if kind == "node":
            self._add_node(found, cpus, warn)
        elif kind == "dist":
            self._check_distance(found)
        elif kind == "cpu":
            self._assign(found)
        else:
            raise _no_hmat()

    def _add_node(
        self, found: Mapping[str, Any], cpus: Sequence[int], warn: Callable[[str], object]
    ) -> None:
        id = found.get("nodeid", len(self._nodes))
        if id >= _NODE_LIMIT:
            raise QemuError(f"Max number of NUMA nodes reached: {id}")
        if id in self._nodes:
            raise QemuError(f"Duplicate NUMA nodeid: {id}")
        for cpu in cpus:
            if cpu >= len(self._places):
                raise QemuError(
                    f"CPU index ({cpu}) should be smaller than maxcpus ({len(self._places)})"
                )
            self._put(cpu, id)
        if "mem" in found and "memdev" in found:
            raise QemuError(
                "numa configuration should use either mem= or memdev=,mixing both is not allowed"
            )
        if "initiator" in found:
            raise _no_hmat()
        size, memory = found.get("mem", 0), found.get("memdev", "")
        if "mem" in found:
            self._check_own_memory(warn)
        if "memdev" in found:
            backend = self._machine.objects.find(memory) if self._machine.has_objects else None
            if backend is None or not backend.type.name.startswith("memory-backend-"):
                raise QemuError(f"memdev={memory} is ambiguous")
            size = int(backend.values["size"])
        self._nodes[id] = Node(size, memory)

    def _check_own_memory(self, warn: Callable[[str], object]) -> None:
        if not self._machine.board.has_numa_memory:
            raise QemuError(
                "Parameter -numa node,mem is not supported by this machine type\n"
                "Use -numa node,memdev instead"
            )
        warn("Parameter -numa node,mem is deprecated, use -numa node,memdev instead")

    def _check_distance(self, found: Mapping[str, int]) -> None:
        source, target, distance = found["src"], found["dst"], found["val"]
        if source >= _NODE_LIMIT or target >= _NODE_LIMIT:
            wrong = "src" if source >= _NODE_LIMIT else "dst"
            raise QemuError(
                f"Parameter '{wrong}' expects an integer between 0 and {_NODE_LIMIT - 1}"
            )
        if source not in self._nodes or target not in self._nodes:
            raise QemuError(
                "Source/Destination NUMA node is missing. "
                "Please use '-numa node' option to declare it first."
            )
        if distance < _LOCAL_DISTANCE:
            raise QemuError(
                f"NUMA distance ({distance}) is invalid, it shouldn't be less than "
                f"{_LOCAL_DISTANCE}."
            )
        if source == target and distance != _LOCAL_DISTANCE:
            raise QemuError(f"Local distance of node {source} should be {_LOCAL_DISTANCE}.")

    def _assign(self, found: Mapping[str, int]) -> None:
        if "node-id" not in found:
            raise QemuError("Missing mandatory node-id property")
        id = found["node-id"]
        if id not in self._nodes:
            raise QemuError(
                f"Invalid node-id={id}, NUMA node must be defined with -numa node,nodeid=ID "
                "before it's used with -numa cpu,node-id=ID"
            )
        wanted = {name: found[name] for name in _CPU_PLACE if name in found}
        for name in wanted:
            if name not in self._places[0]:
                raise QemuError(f"{name} is not supported")
        matching = [
            cpu
            for cpu, place in enumerate(self._places)
            if all(place[name] == number for name, number in wanted.items())
        ]
        if not matching:
            raise QemuError("no match found")
        for cpu in matching:
            self._put(cpu, id)

    def _put(self, cpu: int, node: int) -> None:
        there = self._node_of[cpu]
        if there is not None and there != node:
            raise QemuError(f"CPU is already assigned to node-id: {there}")
        self._node_of[cpu] = node

    # --- once all options are there

    def complete(self, warn: Callable[[str], object]) -> None:
        """See that the nodes make a machine.

        Args:
            warn: takes what is to be warned of.

        Raises:
            QemuError: they don't.
        """
        if not self._nodes:
            return
        for id in range(max(self._nodes), -1, -1):
            if id not in self._nodes:
                raise QemuError(f"numa: Node ID missing: {id}")
        total = sum(node.size for node in self._nodes.values())
        if total != self._machine.ram_size:
            raise QemuError(
                f"total memory for NUMA nodes ({total:#x}) should equal RAM size "
                f"({self._machine.ram_size:#x})"
            )
        memories = [node.memory for node in self._nodes.values() if node.memory]
        for index, memory in enumerate(memories):
            if memory in memories[:index]:
                raise QemuError(f"memory backend {memory} can't be used multiple times.")
        self._place_the_others(warn)

    def _place_the_others(self, warn: Callable[[str], object]) -> None:
        """Processors that nobody put into a node: with their socket, if that is so for all."""
        if all(node is None for node in self._node_of):
            for cpu, place in enumerate(self._places):
                self._node_of[cpu] = place["socket-id"] % len(self._nodes)
            return
        left = [cpu for cpu, node in enumerate(self._node_of) if node is None]
        if not left:
            return
        names = (
            f"CPU {cpu} [{', '.join(f'{k}: {v}' for k, v in self._places[cpu].items())}]"
            for cpu in left
        )
        warn(f"CPU(s) not present in any NUMA nodes: {', '.join(names)}")
        warn(
            "All CPU(s) up to maxcpus should be described in NUMA config, ability to start up "
            "with partial NUMA mappings is obsoleted and will be removed in future"
        )
        for cpu in left:
            self._node_of[cpu] = 0

    def node_of(self, cpu: int) -> int | None:
        """The node of the processor that has or can have this place; None for none yet."""
        return self._node_of[cpu]

    def describe(self) -> Iterator[str]:
        """The lines of ``info numa``."""
        yield f"{len(self._nodes)} nodes"
        for id in sorted(self._nodes):
            there = (cpu.index for cpu in self._machine.cpus if self._node_of[cpu.index] == id)
            yield f"node {id} cpus:{''.join(f' {index}' for index in there)}"
            yield f"node {id} size: {self._nodes[id].size // _MIB} MB"
            yield f"node {id} plugged: 0 MB"


def _no_hmat() -> QemuError:
    return QemuError(
        "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with "
        "-machine hmat=on before using any of hmat specific options"
    )


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    start = read_integer(first)
    end = read_integer(last) if dash else start
    if start is None or end is None or end < start or end - start >= 1 << 16:
        raise QemuError("Parameter 'cpus' expects a uint64 value or range")
    return range(start, end + 1)
