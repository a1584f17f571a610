"""The debugger's stub: what each packet does to the machine, in QEMU's answers.

The processors here execute nothing of their own: a step leaves them where they are, and a
breakpoint is kept but not come to.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.gdb.access import (
    FAULT,
    INVALID,
    OK,
    UNKNOWN,
    all_registers,
    change_all_registers,
    change_register,
    read_bytes,
    read_memory,
    read_numbers,
    read_register,
    write_memory,
    write_register,
)
from machine.gdb.packet import MAX_SIZE, PacketReader, escape, pack
from machine.gdb.target import description
from machine.memory import MemoryFault
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.chardev.device import Chardev
    from machine.cpu.x86 import X86Cpu
    from machine.events import Event
    from machine.machine import Machine

    Answer = bytes | None
    # Runs a line of the human monitor; takes what that prints, and tells when it is done.
    RunLine = Callable[[str, Callable[[str], object], Callable[[], object]], object]

# GDB's numbers of the signals that stand for the reasons why a machine stands still.
_TRAP = 5
_SIGNALS = {
    RunState.DEBUG: _TRAP,
    RunState.PAUSED: 2,
    RunState.SHUTDOWN: 3,
    RunState.INTERNAL_ERROR: 6,
    RunState.WATCHDOG: 14,
    RunState.IO_ERROR: 23,
    RunState.FINISH_MIGRATE: 24,
}
_UNKNOWN_SIGNAL = 143
_SILENT = (RunState.SAVE_VM, RunState.RESTORE_VM)
_PROCESS = 1
_STEP_BITS = b"ENABLE=1,NOIRQ=2,NOTIMER=4"
_USUAL_STEP = 7


class GdbStub:
    """One debugger at a time, on a character device.

    Args:
        machine: one that has a processor.
        chardev: where the debugger is.
        run_line: for its command ``monitor``.
    """

    def __init__(self, machine: Machine, chardev: Chardev, run_line: RunLine) -> None:
        self.chardev = chardev
        self._machine = machine
        self._run_line = run_line
        self._reader = PacketReader()
        self._last = b""
        self._is_attached = False
        self._forget_debugger()
        machine.events.listen(self._notice)
        chardev.attach(self._open, self._receive, self._close)

    def close(self) -> None:
        """Leave the device."""
        self._machine.events.forget(self._notice)
        self.chardev.detach()

    def _forget_debugger(self) -> None:
        self._reader.clear()
        self._names_processes = False
        self._has_description = False
        self._breakpoints: list[tuple[int, int, int]] = []  # as often as they were set
        self._step_flags = _USUAL_STEP
        self._is_physical = False
        self._cpu_index = 0
        self._listed = 0  # of the processors, how many were told of

    # --- the other side

    def _open(self) -> None:
        self._forget_debugger()
        self._is_attached = True
        self._machine.stop()

    def _close(self) -> None:
        self._is_attached = False

    def _receive(self, data: bytes) -> None:
        for value in data:
            byte = bytes((value,))
            if self._last and not self._is_acknowledged(byte):
                continue
            if self._machine.is_running:
                # Nothing can be asked of a machine that runs: any byte stops it, and is gone.
                self._machine.stop()
                continue
            for packet in self._reader.feed(byte):
                if packet is None:
                    self.chardev.write(b"-")
                else:
                    self.chardev.write(b"+")
                    self._answer(packet)

    def _is_acknowledged(self, byte: bytes) -> bool:
        """Take the word on our last packet; whether the byte begins another packet in its stead."""
        if byte == b"-":
            self.chardev.write(self._last)
        elif byte in b"+$":
            self._last = b""
        return byte == b"$"

    def _answer(self, packet: bytes) -> None:
        answer = self._carry_out(packet.decode("latin-1"))
        if answer is not None:
            self._send(answer)

    def _send(self, data: bytes) -> None:
        self._last = pack(data)
        self.chardev.write(self._last)

    def _notice(self, event: Event) -> None:
        """The machine stopped, or the program ends."""
        if not self._is_attached:
            return
        if event.name == "SHUTDOWN":
            self._send(b"W00")
        elif event.name == "STOP" and self._machine.runstate not in _SILENT:
            signal = _SIGNALS.get(self._machine.runstate, _UNKNOWN_SIGNAL)
            if signal == _TRAP:
                self._cpu_index = self._cpu.index
            self._send(self._stopped(signal))

    def _stopped(self, signal: int) -> bytes:
        return b"T%02xthread:%b;" % (signal, self._thread(self._cpu))

    # --- processors

    @property
    def _cpu(self) -> X86Cpu:
        """The one that is asked about."""
        cpus = self._machine.cpus
        return next((cpu for cpu in cpus if cpu.index == self._cpu_index), cpus[0])

    def _thread(self, cpu: X86Cpu) -> bytes:
        """A processor's name: QEMU counts them from one."""
        name = b"%02x" % (cpu.index + 1)
        return b"p%02x.%b" % (_PROCESS, name) if self._names_processes else name

    def _find_cpu(self, text: str) -> X86Cpu | None:
        """The processor of a name; any for 0 and -1.

        Raises:
            ValueError: it is no name.
        """
        if text.startswith("p"):
            process, _, text = text[1:].partition(".")
            if int(process, 16) not in (-1, 0, _PROCESS):
                return None
            text = text or "-1"
        number = int(text, 16)
        if number in (-1, 0):
            return self._cpu
        return next((cpu for cpu in self._machine.cpus if cpu.index == number - 1), None)

    # --- packets

    def _carry_out(self, packet: str) -> Answer:
        letter, rest = packet[:1], packet[1:]
        try:
            match letter:
                case "?":
                    self._breakpoints.clear()
                    return self._stopped(_TRAP)
                case "!":
                    return OK
                case "c" | "C" | "s":
                    self._resume(letter, rest)
                    return None
                case "g":
                    return all_registers(self._cpu)
                case "G":
                    return change_all_registers(self._cpu, rest)
                case "p":
                    return read_register(self._cpu, rest) if self._has_description else UNKNOWN
                case "P":
                    return change_register(self._cpu, rest) if self._has_description else UNKNOWN
                case "m":
                    return read_memory(self._cpu, rest)
                case "M":
                    return write_memory(self._cpu, self._machine.memory, rest)
                case "Z" | "z":
                    return self._set_breakpoint(rest, is_set=letter == "Z")
                case "H":
                    return self._choose_cpu(rest)
                case "T":
                    return OK if rest and self._find_cpu(rest) else INVALID
                case "D":
                    return self._detach()
                case "k":
                    self._kill()
                    return None
                case "q" | "Q":
                    return self._query(packet)
                case "v":
                    return self._extended(packet)
        except ValueError:
            return INVALID
        except MemoryFault:
            return FAULT
        return UNKNOWN

    def _resume(self, how: str, address: str) -> None:
        if address and how != "C":
            write_register(self._cpu, "eip", int(address, 16))
        machine = self._machine
        try:
            machine.cont()
        except QemuError:
            return  # only a reset helps such a machine; QEMU waits in silence too
        if how in ("s", "S") and machine.is_running:
            machine.stop(RunState.DEBUG)

    def _detach(self) -> Answer:
        self._breakpoints.clear()
        self._send(OK)
        self._resume("c", "")
        return None

    def _kill(self) -> None:
        self._machine.complain(f"{self._machine.program}: QEMU: Terminated via GDBstub")
        self._machine.request_shutdown(reason="host-signal")

    def _set_breakpoint(self, text: str, *, is_set: bool) -> Answer:
        words = text.split(",")
        if len(words) != 3:
            return INVALID
        kind, address, size = (int(word, 16) for word in words)
        if kind > 4:
            return UNKNOWN
        if kind > 1 and not size:
            self._machine.complain(
                f"{self._machine.program}: tried to set invalid watchpoint at {address:x}, len=0"
            )
            return INVALID
        # Whether a breakpoint is one of the software or the hardware is the same here.
        point = (kind, address, size) if kind > 1 else (0, address, 0)
        if is_set:
            self._breakpoints.append(point)
        elif point in self._breakpoints:
            self._breakpoints.remove(point)
        else:
            return INVALID
        return OK

    def _choose_cpu(self, text: str) -> Answer:
        cpu = self._find_cpu(text[1:]) if text[:1] in ("c", "g") else None
        if cpu is None:
            return INVALID
        self._cpu_index = cpu.index
        return OK

    # --- questions

    def _query(self, packet: str) -> Answer:
        name, _, rest = packet.partition(":")
        name, comma, more = name.partition(",")
        match name:
            case "qSupported":
                self._names_processes = "multiprocess+" in rest.split(";")
                more_words = b";multiprocess+" if "multiprocess+" in rest else b""
                words = b"PacketSize=%x;qXfer:features:read+;vContSupported+"
                return words % MAX_SIZE + more_words
            case "qC":
                return b"QC" + self._thread(self._machine.cpus[0])
            case "qfThreadInfo" | "qsThreadInfo":
                return self._list_threads(begins=name == "qfThreadInfo")
            case "qThreadExtraInfo":
                cpu = self._find_cpu(more) if comma else None
                if cpu is None:
                    return None  # QEMU says nothing at all
                state = "halted " if cpu.halted else "running"
                return f"CPU#{cpu.index} [{state}]".encode().hex().encode()
            case "qAttached":
                return b"1"
            case "qRcmd":
                if not comma:
                    return UNKNOWN
                return self._monitor(read_bytes(more)) if more else INVALID
            case "qXfer":
                return self._describe(rest)
            case "qqemu.sstepbits":
                return _STEP_BITS
            case "qqemu.sstep":
                return b"0x%x" % self._step_flags
            case "qqemu.PhyMemMode":
                return b"%d" % self._is_physical
            case "Qqemu.PhyMemMode":
                self._is_physical = int(rest, 16) != 0
                return OK
        if name.startswith("Qqemu.sstep="):
            digits = name.removeprefix("Qqemu.sstep=")
            if not digits:
                return None
            try:
                flags = int(digits, 16)
            except ValueError:
                return UNKNOWN
            if flags & ~_USUAL_STEP:
                return INVALID
            self._step_flags = flags
            return OK
        return UNKNOWN

    def _list_threads(self, *, begins: bool) -> bytes:
        self._listed = 0 if begins else self._listed
        cpus = self._machine.cpus
        if self._listed >= len(cpus):
            return b"l"
        self._listed += 1
        return b"m" + self._thread(cpus[self._listed - 1])

    def _describe(self, text: str) -> Answer:
        """A piece of a file that describes the target: more is to come, or it is the last."""
        words = text.split(":")
        if words[:2] != ["features", "read"] or len(words) != 4:
            return INVALID if words[:2] == ["features", "read"] and len(words) > 2 else UNKNOWN
        self._has_description = True
        whole = description(words[2])
        start, size = read_numbers(words[3])
        if whole is None or start > len(whole):
            return b"E00"
        size = min(size, (MAX_SIZE - 5) // 2)
        piece = whole[start : start + size]
        mark = b"m" if start + size < len(whole) else b"l"
        return mark + escape(piece.encode())

    def _monitor(self, line: bytes) -> Answer:
        """Let the human monitor run a line; what it prints goes to the debugger's user."""

        def say(text: str) -> None:
            data = text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
            for at in range(0, len(data), MAX_SIZE // 2 - 1):
                self._send(b"O" + data[at : at + MAX_SIZE // 2 - 1].hex().encode())

        self._run_line(line.decode("utf-8", "surrogateescape"), say, lambda: self._send(OK))
        return None

    def _extended(self, packet: str) -> Answer:
        if packet == "vCont?":
            return b"vCont;c;C;s;S"
        name, *words = packet.split(";")
        if name == "vCont":
            return self._continue_each(words)
        if name == "vAttach" and words:
            if int(words[0], 16) != _PROCESS:
                return INVALID
            return self._stopped(_TRAP)
        if name == "vKill" and words:
            self._send(OK)
            self._kill()
            return None
        return UNKNOWN

    def _continue_each(self, actions: Sequence[str]) -> Answer:
        """Go on, or take a step where one of the processors is to."""
        steps = False
        for action in actions:
            what, colon, thread = action.partition(":")
            if what[:1] not in ("c", "C", "s", "S"):
                return UNKNOWN
            cpu = self._find_cpu(thread) if colon else self._cpu
            if cpu is None:
                return INVALID
            if what[:1] in ("s", "S") and not steps:
                steps = True
                self._cpu_index = cpu.index
        if actions:
            self._resume("s" if steps else "c", "")
        return None
