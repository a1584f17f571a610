"""Faults that a test asks for by name: what a real machine can't be made to do when it's wanted."""

from __future__ import annotations

import errno
import os
import time
from typing import cast

from blockdev.errors import QemuError
from blockdev.file import ByteFile
from blockdev.raw import FileNode
from machine.migration.qemufile import StreamError
from machine.vmstate.description import VMStateDescription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, NoReturn

    from blockdev.file import Buffer
    from blockdev.node import BlockNode
    from machine.machine import Machine

_STEP = 0.05  # seconds that a slow command sleeps between two steps


class Fault:
    """One kind of fault.

    Attributes:
        name, value: how it is asked for: ``name=value``.
        help: what it does, for whoever writes tests.
        apply: does it to a machine that is built, before it runs.
    """

    __slots__ = ("apply", "help", "name", "value")

    def __init__(
        self, name: str, value: str, help: str, apply: Callable[[Machine, str], object]
    ) -> None:
        self.name = name
        self.value = value
        self.help = help
        self.apply = apply


class Delays:
    """How long commands take besides their work, in seconds."""

    __slots__ = ("loadvm", "savevm")

    def __init__(self) -> None:
        self.savevm = 0.0
        self.loadvm = 0.0

    @staticmethod
    def steps(seconds: float) -> Iterator[object]:
        """Be slow for so long; a command's steps, so that who shows progress can."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(_STEP, left))
            yield None


class LimitedFile(ByteFile):
    """A disk file on a file system that is full after so many bytes more.

    Args:
        file: whose place it takes.
        room: bytes that can still be written, be they new or written over.
    """

    def __init__(self, file: ByteFile, room: int) -> None:
        self.__dict__.update(vars(file))
        self._room = room

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._room -= sum(map(len, buffers))
        if self._room < 0:
            raise QemuError(os.strerror(errno.ENOSPC), errno.ENOSPC)
        super().write(offset, buffers)


def describe_faults(others: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """A line for each fault, and for others that somebody else sees to: name, value and help."""
    own = [(fault.name, fault.value, fault.help) for fault in FAULTS]
    for name, value, text in (*own, *others):
        asked = name + (f"[={value[1:-1]}]" if value.startswith("[") else f"={value}")
        yield f"{asked:<26} {text}"


def apply_fault(machine: Machine, text: str) -> None:
    """Do what ``name`` or ``name=value`` asks for.

    Raises:
        QemuError: there is no such fault, or not with this value.
    """
    name, _, value = text.partition("=")
    for fault in FAULTS:
        if fault.name == name:
            fault.apply(machine, value)
            return
    names = ", ".join(fault.name for fault in FAULTS)
    raise QemuError(f"there is no fault '{name}'; there are {names}")


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise QemuError(f"fault '{name}' expects a number")
    return number


def _delays(machine: Machine) -> Delays:
    if machine.delays is None:
        machine.delays = Delays()
    return machine.delays


def _slow_savevm(machine: Machine, value: str) -> None:
    _delays(machine).savevm = _number("slow-savevm", value)


def _slow_loadvm(machine: Machine, value: str) -> None:
    _delays(machine).loadvm = _number("slow-loadvm", value)


def _disk_full(machine: Machine, value: str) -> None:
    name, _, room = value.rpartition(":")
    backend = machine.drives.backend(name)
    node = machine.graph.find(name) if backend is None else backend.node
    file = None if node is None else _file_of(node)
    if file is None:
        raise QemuError(f"fault 'disk-full' found no file of a disk '{name}'")
    file.bytes = LimitedFile(file.bytes, int(_number("disk-full", room)))


def _file_of(node: BlockNode) -> FileNode | None:
    """The node of the file at the bottom of a disk."""
    found: BlockNode | None = node
    while found is not None and not isinstance(found, FileNode):
        found = found.file
    return found


def _unmigratable(machine: Machine, value: str) -> None:
    name = value or "stubborn-device"
    machine.saved_state.registry.register(
        VMStateDescription(name=name, unmigratable=True), object()
    )


class FailingDescription:
    """A description that saves as ever, and never loads."""

    def __init__(self, description: VMStateDescription) -> None:
        self._description = description

    def __getattr__(self, name: str) -> Any:
        return getattr(self._description, name)

    def load(self, *_: object) -> NoReturn:
        raise StreamError(errno.EINVAL)


def _failing_section(machine: Machine, value: str) -> None:
    number = int(_number("loadvm-section", value))
    entries = [each for each in machine.saved_state.registry.entries if each.description]
    if not 1 <= number <= len(entries):
        raise QemuError(f"fault 'loadvm-section': the machine has {len(entries)} such sections")
    entry = entries[number - 1]
    assert entry.description is not None
    entry.description = cast("VMStateDescription", FailingDescription(entry.description))


FAULTS = (
    Fault("slow-savevm", "SECONDS", "savevm takes so much longer", _slow_savevm),
    Fault("slow-loadvm", "SECONDS", "loadvm takes so much longer", _slow_loadvm),
    Fault(
        "disk-full",
        "DISK:BYTES",
        "no space is left for a disk's file after so many bytes more",
        _disk_full,
    ),
    Fault("unmigratable", "[NAME]", "a device that can't be saved is plugged in", _unmigratable),
    Fault(
        "loadvm-section",
        "N",
        "the N-th device's state doesn't load, on loadvm and on incoming migrations",
        _failing_section,
    ),
)
