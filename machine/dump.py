"""The guest's memory in a file: what `dump-guest-memory` writes, itself a core file.

Source: System V ABI, chapter 5 (program headers and notes); the registers' structure of QEMU's own
note is what the crash program reads.
"""

from __future__ import annotations

import errno
import os
import struct

from blockdev.errors import QemuError
from machine.memory import RamBlock
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from machine.cpu.x86 import X86Cpu
    from machine.machine import Machine
    from machine.memory import Region

    Piece = tuple[bytes | memoryview, int]  # with how much of the memory it brings

_WINDOWS, _KDUMP = "win-dmp", "kdump-zlib"
NONE = "none"
ACTIVE = "active"
COMPLETED = "completed"
FAILED = "failed"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_SEGMENT = struct.Struct("<IIIIQ")  # selector, limit, flags, padding, base
_IDENTITY = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little endian, System V
_CORE, _I386 = 4, 3
_LOAD, _NOTES = 1, 4
_STRING_TABLE = 3
_SHSTRTAB = b"\0.shstrtab\0"
_PRSTATUS = 1
_STEP = 1 << 20  # bytes written at a time
_GENERAL = "eax ebx ecx edx esi edi esp ebp".split()
# In the order of the note, each with the flags of its descriptor after a reset.
_SEGMENTS = (
    ("cs", 0x9B00),
    ("ds", 0x9300),
    ("es", 0x9300),
    ("fs", 0x9300),
    ("gs", 0x9300),
    ("ss", 0x9300),
    ("ldt", 0x8200),
    ("tr", 0x8B00),
    ("gdt", 0),
    ("idt", 0),
)
_CR0_OF_RESET = 0x60000010


class GuestDump:
    """The last dump, and how far it is.

    Attributes:
        status: `NONE`, `ACTIVE`, `COMPLETED` or `FAILED`.
        written, total: bytes of guest memory.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.status = NONE
        self.written = 0
        self.total = 0

    def start(
        self, fd: int, begin: int | None, length: int | None, *, format: str = "elf"
    ) -> Iterator[None]:
        """Look at what there is to dump; the steps write it to a file, and close that.

        The guest stands still meanwhile, so that all is of one moment.

        Args:
            fd: of a file that is empty, or of a pipe.
            begin, length: the part of physical memory, bytes; all of it without.
            format: QEMU's DumpGuestMemoryFormat; for Windows' the guest must have told where its
                tables are.

        Raises:
            QemuError: a dump is under way, or nothing lies there; the file is closed then.  The
                steps raise it when the file can't be written.
        """
        was_running = self._machine.is_running
        self._machine.stop(RunState.SAVE_VM)
        try:
            self.status = FAILED
            if length == 0:
                raise QemuError("Invalid parameter 'length'")
            parts = self._parts(begin, length)
            if not parts:
                raise QemuError("dump: no guest memory to dump")
        except QemuError:
            os.close(fd)
            self._go_on(was_running)
            raise
        self.status = ACTIVE
        self.written = 0
        self.total = sum(part.size for part, _ in parts)
        return self._steps(fd, parts, was_running, format)

    def _go_on(self, was_running: bool) -> None:
        """The machine runs again if it did before."""
        if was_running:
            self._machine.cont()

    def value(self) -> dict[str, object]:
        """How far it is, as QMP has it."""
        return {"status": self.status, "completed": self.written, "total": self.total}

    @property
    def percent(self) -> float:
        return 100 * self.written / self.total if self.total else 0.0

    def _parts(self, begin: int | None, length: int | None) -> list[tuple[Region, memoryview]]:
        """What of memory is dumped: RAM and ROM, by address."""
        low = 0 if begin is None else begin
        parts = []
        for region in self._machine.memory.regions:
            if not isinstance(region.block, RamBlock):
                continue
            end = region.end if begin is None or length is None else min(region.end, low + length)
            if max(region.base, low) < end:
                part = region.part(max(region.base, low), end)
                parts.append((part, region.block.view[part.offset : part.offset + part.size]))
        return parts

    def _steps(
        self,
        fd: int,
        parts: Sequence[tuple[Region, memoryview]],
        was_running: bool,
        format: str,
    ) -> Iterator[None]:
        told: dict[str, object] = {}
        try:
            if format == _WINDOWS:
                raise QemuError("win-dump: invalid vmcoreinfo note size")
            pieces = self._kdump_pieces(parts) if format == _KDUMP else self._elf_pieces(parts)
            for data, brought in pieces:
                _write(fd, data)
                self.written += brought
                yield
            self.status = COMPLETED
        except OSError as error:
            reason = f"dump: failed to save memory: {os.strerror(error.errno or errno.EIO)}"
            told = {"error": reason}
            raise QemuError(reason) from error
        except QemuError as error:
            told = {"error": str(error)}
            raise
        finally:
            os.close(fd)
            if self.status == ACTIVE:
                self.status = FAILED
            self._machine.events.emit("DUMP_COMPLETED", result=self.value(), **told)
            self._go_on(was_running)

    def _elf_pieces(self, parts: Sequence[tuple[Region, memoryview]]) -> Iterator[Piece]:
        yield self._head([part for part, _ in parts]), 0
        for _, view in parts:
            for offset in range(0, len(view), _STEP):
                piece = view[offset : offset + _STEP]
                yield piece, len(piece)
        yield _SHSTRTAB, 0

    def _kdump_pieces(self, parts: Sequence[tuple[Region, memoryview]]) -> Iterator[Piece]:
        from machine.kdump import flat_dump

        placed = [(part.base, view) for part, view in parts]
        return flat_dump(placed, self._notes(), len(self._machine.cpus))

    def _notes(self) -> bytes:
        """What the processors hold."""
        return b"".join(
            [_note(b"CORE", _PRSTATUS, _process_status(cpu)) for cpu in self._machine.cpus]
            + [_note(b"QEMU", 0, _state(cpu)) for cpu in self._machine.cpus]
        )

    def _head(self, parts: Sequence[Region]) -> bytes:
        """Everything before the memory itself."""
        notes = self._notes()
        programs_at = 64 + 2 * _SECTION.size
        notes_at = programs_at + (1 + len(parts)) * _PROGRAM.size
        memory_at = notes_at + len(notes)
        programs = [_PROGRAM.pack(_NOTES, 0, notes_at, 0, 0, len(notes), len(notes), 0)]
        offset = memory_at
        for part in parts:
            place = (part.base, part.base, part.size, part.size)
            programs.append(_PROGRAM.pack(_LOAD, 0, offset, *place, 0))
            offset += part.size
        # The header's size is that of its first field: QEMU writes 8 there, and readers mind not.
        sizes = (8, _PROGRAM.size, len(programs), _SECTION.size, 2, 1)
        header = _HEADER.pack(_IDENTITY, _CORE, _I386, 1, 0, programs_at, 64, 0, *sizes)
        names = _SECTION.pack(1, _STRING_TABLE, 0, 0, offset, len(_SHSTRTAB), 0, 0, 0, 0)
        return b"".join([header, bytes(_SECTION.size), names, *programs, notes])


def dump_guest_memory(
    machine: Machine,
    protocol: str,
    take_descriptor: Callable[[str], int],
    *,
    format: str = "elf",
    paging: bool = False,
    detach: bool = False,
    begin: int | None = None,
    length: int | None = None,
) -> Iterator[object]:
    """Dump to a place; the steps do it, unless detached: then it goes on by itself.

    Args:
        protocol: ``file:PATH``, or ``fd:NAME``.
        take_descriptor: gives the descriptors that the user named.
        format: QEMU's DumpGuestMemoryFormat.
        paging: as the guest maps it; with paging off, that is what there is.
        begin, length: see `GuestDump.start`.

    Raises:
        QemuError: it can't begin, or can't be written.
    """
    if machine.runstate is RunState.INMIGRATE:
        raise QemuError("Dump not allowed during incoming migration.")
    if format != "elf" and (paging or begin is not None or length is not None):
        raise QemuError("kdump-compressed format doesn't support paging or filter")
    if begin is not None and length is None:
        raise QemuError("Parameter 'length' is missing")
    if length is not None and begin is None:
        raise QemuError("Parameter 'begin' is missing")
    if machine.dump.status == ACTIVE:
        raise QemuError("There is a dump in process, please wait.")
    if format.startswith("kdump") and format != _KDUMP:
        raise QemuError(f"{format} is not available now")
    kind, _, place = protocol.partition(":")
    if kind == "file":
        fd = _create(place)
    elif kind == "fd":
        fd = take_descriptor(place)
    else:
        raise QemuError("Invalid parameter 'protocol'")
    steps = machine.dump.start(fd, begin, length, format=format)
    if detach:
        machine.loop.spawn(_swallow(steps))
    else:
        yield from steps


def _create(path: str) -> int:
    """A new file that only its owner may read, as it holds all that the guest knows.

    Raises:
        QemuError: it can't be created.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o400)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise QemuError(f"Could not open '{path}': {reason}") from error


def _swallow(steps: Iterator[object]) -> Iterator[object]:
    """The steps, whose error `info dump` tells."""
    try:
        yield from steps
    except QemuError:
        pass


def _write(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _note(owner: bytes, kind: int, content: bytes) -> bytes:
    name = owner + b"\0"
    head = _NOTE.pack(len(name), len(content), kind)
    return head + name.ljust(-(-len(name) // 4) * 4, b"\0") + content


def _process_status(cpu: X86Cpu) -> bytes:
    """The registers as a 32-bit Linux process has them: elf_prstatus."""
    names = "ebx ecx edx esi edi ebp eax ds es fs gs eax eip cs eflags esp ss".split()
    values = [_register(cpu, name) for name in names]
    values[names.index("eax", 7)] = 0  # the number of a system call, which there is none
    status = struct.pack("<6I", 0, 0, 0, 0, 0, 0) + struct.pack("<I", cpu.index + 1)
    return status.ljust(72, b"\0") + struct.pack("<17I", *values) + bytes(4)


def _state(cpu: X86Cpu) -> bytes:
    """What QEMU's own note holds: QEMUCPUState."""
    general = [_register(cpu, name) for name in _GENERAL]
    general += [_register(cpu, f"r{number}") for number in range(8, 16)]
    state = struct.pack("<18Q", *general, _register(cpu, "eip"), _register(cpu, "eflags"))
    for name, flags in _SEGMENTS:
        limit = cpu.register(f"{name}.limit")
        base = _register(cpu, f"{name}.base")
        selector = _register(cpu, name)
        state += _SEGMENT.pack(selector, 0xFFFF if limit is None else limit, flags, 0, base)
    cr0 = cpu.register("cr0")
    state += struct.pack("<5Q", _CR0_OF_RESET if cr0 is None else cr0, 0, 0, 0, 0) + bytes(8)
    return struct.pack("<II", 1, 8 + len(state)) + state


def _register(cpu: X86Cpu, name: str) -> int:
    return cpu.register(name) or 0
