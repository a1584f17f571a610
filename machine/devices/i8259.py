"""The two interrupt controllers of a PC, one behind the other.

Source: Intel's data sheet of the 8259A; the registers that choose edge or level are those of
the 82374 (EISA).
"""

from __future__ import annotations

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import UInt8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND, DATA = 0, 1  # ports
_INIT, _WITH_ICW4, _SINGLE = 0x10, 0x01, 0x02  # bits of the first initialisation word
_OCW3 = 0x08
_FULLY_NESTED, _AUTO_EOI = 0x10, 0x02  # of the fourth
_LINES = 8
_CASCADE = 2  # where the second chip is on the first
_SPURIOUS = 7
_NO_PRIORITY = 8


class I8259:
    """One chip, its registers under the names that the stream has for them.

    Attributes:
        last_irr: the levels of the lines.
        irr, imr, isr: what is asked for, masked, in service.
        priority_add: the line of the highest priority.
        elcr: lines that are triggered by level.
    """

    def __init__(self) -> None:
        self.elcr = 0
        self.reset()

    def reset(self) -> None:
        """The state after power-on."""
        self.last_irr = 0
        self._clear()

    def _clear(self) -> None:
        self.irr = self.imr = self.isr = 0
        self.last_irr &= self.elcr
        self.priority_add = self.irq_base = self.read_reg_select = self.poll = 0
        self.special_mask = self.init_state = self.auto_eoi = self.rotate_on_auto_eoi = 0
        self.special_fully_nested_mode = self.init4 = self.single_mode = 0

    def set_line(self, line: int, level: bool) -> None:
        """Raise or lower a line."""
        bit = 1 << line
        if self.elcr & bit:
            self.irr = self.irr | bit if level else self.irr & ~bit
        elif level and not self.last_irr & bit:
            self.irr |= bit
        self.last_irr = self.last_irr | bit if level else self.last_irr & ~bit

    def pending(self, *, is_first: bool) -> int | None:
        """The line that the processor is asked to look at; None for none."""
        asked = self._highest(self.irr & ~self.imr)
        if asked == _NO_PRIORITY:
            return None
        served = self.isr
        if self.special_mask:
            served &= ~self.imr
        if self.special_fully_nested_mode and is_first:
            served &= ~(1 << _CASCADE)
        if asked < self._highest(served):
            return (asked + self.priority_add) % _LINES
        return None

    def _highest(self, lines: int) -> int:
        """How far from the highest priority the first of some lines is."""
        for priority in range(_LINES):
            if lines >> (priority + self.priority_add) % _LINES & 1:
                return priority
        return _NO_PRIORITY

    def acknowledge(self, line: int) -> None:
        """The processor takes a line's interrupt."""
        bit = 1 << line
        if not self.auto_eoi:
            self.isr |= bit
        elif self.rotate_on_auto_eoi:
            self.priority_add = (line + 1) % _LINES
        if not self.elcr & bit:
            self.irr &= ~bit

    def write(self, port: int, value: int) -> None:
        """What the guest writes to a port."""
        if port == DATA:
            self._write_data(value)
        elif value & _INIT:
            self._clear()
            self.init_state = 1
            self.init4 = value & _WITH_ICW4
            self.single_mode = value & _SINGLE
        elif value & _OCW3:
            if value & 0x04:
                self.poll = 1
            if value & 0x02:
                self.read_reg_select = value & 1
            if value & 0x40:
                self.special_mask = value >> 5 & 1
        else:
            self._end_of_interrupt(value >> 5, value & 7)

    def _write_data(self, value: int) -> None:
        if self.init_state == 0:
            self.imr = value
        elif self.init_state == 1:
            self.irq_base = value & 0xF8
            self.init_state = (3 if self.init4 else 0) if self.single_mode else 2
        elif self.init_state == 2:
            self.init_state = 3 if self.init4 else 0
        else:
            self.special_fully_nested_mode = value >> 4 & 1
            self.auto_eoi = value >> 1 & 1
            self.init_state = 0

    def _end_of_interrupt(self, command: int, line: int) -> None:
        if command in (0, 4):
            self.rotate_on_auto_eoi = command >> 2
        elif command in (1, 5):
            priority = self._highest(self.isr)
            if priority != _NO_PRIORITY:
                line = (priority + self.priority_add) % _LINES
                self.isr &= ~(1 << line)
                if command == 5:
                    self.priority_add = (line + 1) % _LINES
        elif command == 3:
            self.isr &= ~(1 << line)
        elif command == 6:
            self.priority_add = (line + 1) % _LINES
        elif command == 7:
            self.isr &= ~(1 << line)
            self.priority_add = (line + 1) % _LINES

    def read(self, port: int) -> int:
        """What the guest reads from a port; polls go by `InterruptControllers`."""
        if port == DATA:
            return self.imr
        return self.isr if self.read_reg_select else self.irr

    def describe(self, number: int) -> str:
        """Its line of ``info pic``."""
        return (
            f"pic{number}: irr={self.irr:02x} imr={self.imr:02x} isr={self.isr:02x} "
            f"hprio={self.priority_add} irq_base={self.irq_base:02x} "
            f"rr_sel={self.read_reg_select} elcr={self.elcr:02x} "
            f"fnm={self.special_fully_nested_mode}"
        )


class InterruptControllers:
    """Both chips: sixteen lines in, one to the processor out.

    Attributes:
        first, second: the chips; the second one's output is a line of the first.
        counts: how often each line was raised.
    """

    def __init__(self) -> None:
        self.first = I8259()
        self.second = I8259()
        self.counts = [0] * (2 * _LINES)
        self._levels = 0

    def reset(self) -> None:
        """What power-on does to both."""
        self.first.reset()
        self.second.reset()

    def set_line(self, line: int, level: bool) -> None:
        """Raise or lower a device's line, 0 to 15."""
        if level and not self._levels >> line & 1:
            self.counts[line] += 1
        self._levels = self._levels & ~(1 << line) | level << line
        if line < _LINES:
            self.first.set_line(line, level)
        else:
            self.second.set_line(line - _LINES, level)
            self._cascade()

    def _cascade(self) -> None:
        self.first.set_line(_CASCADE, self.second.pending(is_first=False) is not None)

    @property
    def is_asking(self) -> bool:
        """Whether the processor is asked for its attention."""
        return self.first.pending(is_first=True) is not None

    def acknowledge(self) -> int:
        """The processor takes the interrupt: the number of its vector."""
        line = self.first.pending(is_first=True)
        if line is None:
            return self.first.irq_base + _SPURIOUS
        vector = self.first.irq_base + line
        if line == _CASCADE:
            line = self.second.pending(is_first=False)
            if line is None:
                line = _SPURIOUS
            else:
                self.second.acknowledge(line)
            vector = self.second.irq_base + line
            line = _CASCADE
        self.first.acknowledge(line)
        self._cascade()
        return vector

    def write(self, chip: I8259, port: int, value: int) -> None:
        """What the guest writes to a port of one of them."""
        chip.write(port, value)
        self._cascade()

    def describe(self) -> Sequence[str]:
        """The lines of ``info pic``."""
        return (self.second.describe(1), self.first.describe(0))

    def describe_counts(self) -> Sequence[str]:
        """The lines of ``info irq`` below a controller's name."""
        return [f"{line:2}: {count}" for line, count in enumerate(self.counts) if count]


I8259_STATE = VMStateDescription(
    name="i8259",
    fields=tuple(
        UInt8(name)
        for name in (
            "last_irr irr imr isr priority_add irq_base read_reg_select poll special_mask "
            "init_state auto_eoi rotate_on_auto_eoi special_fully_nested_mode init4 single_mode "
            "elcr"
        ).split()
    ),
)
