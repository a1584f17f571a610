"""The MC146818: date, time, and the CMOS memory of a PC.

Source: Motorola's data sheet of the MC146818A; the memory beyond it is IBM's.
"""

from __future__ import annotations

import time

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Buffer, Int64, Timer, UInt8, UInt32, UInt64, UnusedBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.rtc import RtcClock

SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR = 0, 2, 4, 6, 7, 8, 9
ALARM_SECONDS, ALARM_MINUTES, ALARM_HOURS = 1, 3, 5
REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D = 10, 11, 12, 13
CENTURY = 0x32
CMOS_SIZE = 128
FIRST_FREE = 14  # registers from here on only keep what is written
_DIVIDER_32768_HZ = 0x26  # register A after power-on: the oscillator, and 1024 Hz
_24_HOURS, _BINARY, _SET = 0x02, 0x04, 0x80  # bits of register B
_DATE_REGISTERS = frozenset((SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY))
_UPDATING = 0x80  # register A
_POWER_IS_GOOD = 0x80  # register D
_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS


class Mc146818Rtc:
    """The device.  The date is kept as a number; the registers are brought up to it when asked.

    Args:
        clock: the date, and the clock it goes by.

    Attributes:
        cmos_data: all registers.
        cmos_index: the one that is selected.
        base_rtc: the date at `last_update`, seconds since 1970.
        last_update: in ns of the clock it goes by.
        offset: of the date in its second, ns.
        next_alarm_time: in ns of the clock it goes by.
    """

    def __init__(self, clock: RtcClock) -> None:
        self._clock = clock
        self.cmos_index = 0
        self.periodic_timer: int | None = None
        self.next_periodic_time = 0
        self.irq_coalesced = 0
        self.period = 0
        self.base_rtc = clock.now_ns() // _SECOND_NS
        self.last_update = clock.source_ns()
        self.offset = 0
        cmos = bytearray(CMOS_SIZE)
        cmos[REGISTER_A] = _DIVIDER_32768_HZ
        cmos[REGISTER_B] = _24_HOURS
        cmos[REGISTER_D] = _POWER_IS_GOOD
        self.cmos_data = bytes(cmos)
        self.update_registers()
        # The alarm registers are zero: midnight.
        seconds = self.now_ns() % _DAY_NS
        self.next_alarm_time = self.last_update + _DAY_NS - seconds
        self.update_timer: int | None = self.last_update + _SECOND_NS

    def read(self, port: int) -> int:
        """What the guest reads: nothing from the index, from the data the register it names."""
        if port == 0:
            return 0xFF
        index = self.cmos_index
        if index <= YEAR or index == CENTURY:
            self.update_registers()
        value = self.cmos_data[index]
        if index == REGISTER_C:
            self._store(index, 0)
        return value

    def write(self, port: int, value: int) -> None:
        """What the guest writes to the index, or to the register that it names."""
        if port == 0:
            self.cmos_index = value & (CMOS_SIZE - 1)
        elif self.cmos_index in _DATE_REGISTERS:
            self.update_registers()
            self._store(self.cmos_index, value)
            if not self.cmos_data[REGISTER_B] & _SET:
                self._take_date()
        elif self.cmos_index == REGISTER_A:
            self._store(REGISTER_A, value & ~_UPDATING | self.cmos_data[REGISTER_A] & _UPDATING)
        elif self.cmos_index == REGISTER_B:
            self.update_registers()
            was_set = self.cmos_data[REGISTER_B] & _SET
            self._store(REGISTER_B, value)
            if was_set and not value & _SET:
                self._take_date()
        elif self.cmos_index not in (REGISTER_C, REGISTER_D):
            self._store(self.cmos_index, value)

    def _store(self, register: int, value: int) -> None:
        cmos = bytearray(self.cmos_data)
        cmos[register] = value
        self.cmos_data = bytes(cmos)

    def _take_date(self) -> None:
        """The clock goes on from what the registers say."""
        import calendar

        cmos = self.cmos_data

        def number(register: int) -> int:
            value = cmos[register]
            return value if cmos[REGISTER_B] & _BINARY else (value >> 4) * 10 + (value & 0x0F)

        hours = number(HOURS)
        if not cmos[REGISTER_B] & _24_HOURS:
            is_afternoon = cmos[HOURS] & 0x80
            hours = (number(HOURS) - (80 if is_afternoon else 0)) % 12 + (12 if is_afternoon else 0)
        year = number(CENTURY) * 100 + number(YEAR)
        date = year, number(MONTH), number(DAY), hours, number(MINUTES), number(SECONDS)
        self.base_rtc = calendar.timegm((*date, 0, 0, 0))
        self.last_update = self._clock.source_ns()
        self.offset = 0

    def now_ns(self) -> int:
        """The date, in ns since 1970."""
        passed_ns = self._clock.source_ns() - self.last_update
        return self.base_rtc * _SECOND_NS + passed_ns + self.offset

    def update_registers(self) -> None:
        """Bring the registers up to the date, unless the guest is setting them."""
        cmos = bytearray(self.cmos_data)
        if not cmos[REGISTER_B] & _SET:
            date = time.gmtime(self.now_ns() // _SECOND_NS)
            hour = date.tm_hour if cmos[REGISTER_B] & _24_HOURS else (date.tm_hour % 12 or 12)
            century, year = divmod(date.tm_year, 100)
            for register, number in (
                (SECONDS, date.tm_sec),
                (MINUTES, date.tm_min),
                (HOURS, hour),
                (WEEKDAY, (date.tm_wday + 1) % 7 + 1),  # Sunday is 1
                (DAY, date.tm_mday),
                (MONTH, date.tm_mon),
                (YEAR, year),
                (CENTURY, century),
            ):
                cmos[register] = number if cmos[REGISTER_B] & _BINARY else _bcd(number)
            if not cmos[REGISTER_B] & _24_HOURS and date.tm_hour >= 12:
                cmos[HOURS] |= 0x80
        self.cmos_data = bytes(cmos)


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


MC146818RTC = VMStateDescription(
    name="mc146818rtc",
    version_id=3,
    fields=(
        Buffer("cmos_data", CMOS_SIZE),
        UInt8("cmos_index"),
        UnusedBuffer(7 * 4),
        Timer("periodic_timer"),
        Int64("next_periodic_time"),
        UnusedBuffer(3 * 8),
        UInt32("irq_coalesced", since_version=2),
        UInt32("period", since_version=2),
        UInt64("base_rtc", since_version=3),
        UInt64("last_update", since_version=3),
        Int64("offset", since_version=3),
        Timer("update_timer", since_version=3),
        UInt64("next_alarm_time", since_version=3),
    ),
    pre_save=Mc146818Rtc.update_registers,
)
