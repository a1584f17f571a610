"""The 16550 serial port on the ISA bus, over a character device.

Source: National Semiconductor's data sheet of the PC16550D.  Its FIFOs hold one byte here.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.qdev import DeviceModel
from machine.schema import read_integer
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Struct, UInt8, UInt16

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.chardev.device import Chardev
    from machine.devices.qdev import Device
    from machine.machine import Machine

PORT_COUNT = 4
_PORTS = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))  # I/O port and interrupt line of each
# Registers by address; the first two are the divisor's while `_DIVISOR_ACCESS` is set.
DATA, INTERRUPT_ENABLE, INTERRUPT_ID, LINE_CONTROL = 0, 1, 2, 3
MODEM_CONTROL, LINE_STATUS, MODEM_STATUS, SCRATCH = 4, 5, 6, 7
_DIVISOR_ACCESS = 0x80  # bit of the line control register
_RECEIVE_ENABLED, _TRANSMIT_ENABLED = 0x01, 0x02  # interrupt enable
_NO_INTERRUPT, _TRANSMIT_EMPTY, _RECEIVED = 0x01, 0x02, 0x04  # interrupt identification
_DATA_READY, _BREAK, _EMPTY = 0x01, 0x10, 0x60  # line status; empty: holding and shift register
_OUT2, _LOOP = 0x08, 0x10  # modem control
_CONNECTED = 0xB0  # modem status: carrier, data set ready, clear to send
_DIVIDER_9600 = 12


class Serial16550:
    """The registers, with the names that the stream has for them.

    Args:
        chardev: where the bytes come from and go to; None for nowhere.
    """

    def __init__(self, chardev: Chardev | None) -> None:
        self._chardev: Chardev | None = None
        self.reset()
        if chardev is not None:
            self.connect(chardev)

    def connect(self, chardev: Chardev) -> None:
        """Go over to a character device."""
        self._chardev = chardev
        chardev.attach(_nothing, self.receive, _nothing)
        chardev.receive_break = self.receive_break
        chardev.swap = self.connect

    @property
    def state(self) -> Serial16550:
        """The stream has the registers one level down."""
        return self

    def reset(self) -> None:
        """The state after power-on."""
        self.divider = _DIVIDER_9600
        self.rbr = 0
        self.ier = 0
        self.iir = _NO_INTERRUPT
        self.lcr = 0
        self.mcr = _OUT2
        self.lsr = _EMPTY
        self.msr = _CONNECTED
        self.scr = 0
        self.fcr_vmstate = 0
        self._waiting = bytearray()

    def receive(self, data: bytes) -> None:
        """Take bytes from the line; all but the first wait, and so does who sends them."""
        self._waiting += data
        if self._chardev is not None:
            self._chardev.pause()
        self._next_byte()

    def receive_break(self) -> None:
        """The line was held low: a zero comes with the break bit."""
        self.rbr = 0
        self.lsr |= _BREAK | _DATA_READY
        self._update_interrupt()

    def read(self, register: int) -> int:
        """What the guest reads from an address."""
        if self.lcr & _DIVISOR_ACCESS and register in (DATA, INTERRUPT_ENABLE):
            return self.divider >> 8 * register & 0xFF
        if register == DATA:
            value = self.rbr
            self.lsr &= ~(_DATA_READY | _BREAK)
            self._next_byte()
            self._update_interrupt()
            return value
        if register == INTERRUPT_ID:
            value = self.iir
            if value & 0x0F == _TRANSMIT_EMPTY:
                self.iir = _NO_INTERRUPT
            return value
        if register == LINE_STATUS:
            value = self.lsr
            self.lsr &= ~_BREAK
            return value
        if register == MODEM_STATUS and self.mcr & _LOOP:
            # What goes out by the modem lines comes in by those opposite.
            outs = self.mcr & 0x0F
            return (outs & 0x0C) << 4 | (outs & 0x02) << 3 | (outs & 0x01) << 5
        return (0, self.ier, 0, self.lcr, self.mcr, 0, self.msr, self.scr)[register]

    def write(self, register: int, value: int) -> None:
        """What the guest writes to an address."""
        if self.lcr & _DIVISOR_ACCESS and register in (DATA, INTERRUPT_ENABLE):
            shift = 8 * register
            self.divider = self.divider & ~(0xFF << shift) | value << shift
        elif register == DATA:
            self._transmit(value)
        elif register == INTERRUPT_ENABLE:
            self.ier = value & 0x0F
            self._update_interrupt(transmitted=True)
        elif register == INTERRUPT_ID:
            self.fcr_vmstate = value & 0xC9
        elif register == LINE_CONTROL:
            self.lcr = value
        elif register == MODEM_CONTROL:
            self.mcr = value & 0x1F
        elif register == SCRATCH:
            self.scr = value

    def _transmit(self, value: int) -> None:
        if self.mcr & _LOOP:
            self.receive(bytes([value]))
        elif self._chardev is not None:
            self._chardev.write(bytes([value]))
        self._update_interrupt(transmitted=True)

    def _next_byte(self) -> None:
        if self.lsr & _DATA_READY:
            return
        if self._waiting:
            self.rbr = self._waiting.pop(0)
            self.lsr |= _DATA_READY
            self._update_interrupt()
        elif self._chardev is not None:
            self._chardev.resume()

    def _update_interrupt(self, *, transmitted: bool = False) -> None:
        """Which interrupt is pending; what was received comes first."""
        if self.ier & _RECEIVE_ENABLED and self.lsr & _DATA_READY:
            self.iir = _RECEIVED
        elif self.ier & _TRANSMIT_ENABLED and transmitted:
            self.iir = _TRANSMIT_EMPTY
        elif not self.ier & _TRANSMIT_ENABLED or self.iir & 0x0F != _TRANSMIT_EMPTY:
            self.iir = _NO_INTERRUPT

    def close(self) -> None:
        if self._chardev is not None:
            self._chardev.detach()


def _nothing() -> None:
    """Nobody on the guest's side is told who is at the other end."""


_REGISTERS = VMStateDescription(
    name="serial",
    version_id=3,
    minimum_version_id=2,
    fields=(
        UInt16("divider", since_version=2),
        UInt8("rbr"),
        UInt8("ier"),
        UInt8("iir"),
        UInt8("lcr"),
        UInt8("mcr"),
        UInt8("lsr"),
        UInt8("msr"),
        UInt8("scr"),
        UInt8("fcr_vmstate", since_version=3),
    ),
)
SERIAL = VMStateDescription(
    name="serial",
    version_id=3,
    minimum_version_id=2,
    fields=(Struct("state", _REGISTERS),),
)


def port_values(index: int) -> dict[str, str]:
    """What a port has by its number: properties and their values."""
    port, irq = _PORTS[index]
    return {"index": str(index), "iobase": str(port), "irq": str(irq)}


def realize(machine: Machine, device: Device) -> None:
    """Plug in a port.

    Raises:
        QemuError: there are too many, or its character device can't be had.
    """
    index = read_integer(device.options.get("index", "0"))
    if index is None:
        raise QemuError("Parameter 'index' expects uint32_t")
    label = device.options.get("chardev")
    chardev = None if label is None else _claim(machine, label)
    if index >= PORT_COUNT or machine.serial_count >= PORT_COUNT:
        if chardev is not None:
            chardev.detach()
        raise QemuError("Max. supported number of ISA serial ports is 4.")
    given = "index" in device.options
    device.shown.update(port_values(index if given else machine.serial_count))
    machine.serial_count += 1
    serial = Serial16550(chardev)
    device.undo.append(serial.close)
    device.states.append((SERIAL, serial))


def _claim(machine: Machine, label: str) -> Chardev:
    """The character device of a name, for one port."""
    chardev = machine.find_chardev(label)
    if chardev is None:
        raise QemuError(f"Property 'serial.chardev' can't find value '{label}'")
    try:
        return chardev.claim()
    except QemuError as error:
        text = f"Property 'serial.chardev' can't take value '{label}': {error}"
        raise QemuError(text) from error


MODELS = {"isa-serial": DeviceModel("isa-serial", "ISA", "chardev index iobase irq", realize)}
