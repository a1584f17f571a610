"""What a display shows, as a picture in a file."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, QemuError
from machine.identifiers import device_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.vga import Vga
    from machine.machine import Machine


def save_screen(
    machine: Machine, filename: str, format: str, device: str | None = None, head: int = 0
) -> None:
    """Write a picture of a screen.

    Args:
        format: "ppm" or "png".
        device: which display; None for the first.
        head: which of its screens.

    Raises:
        QemuError: there is no such display, or the file can't be written.
    """
    from machine.display.text_screen import picture

    picture(_display(machine, device, head)).save(filename, format)


def find_display(machine: Machine, device: str, head: int) -> Vga:
    """The display of a device.

    Raises:
        QemuError: it isn't there, or has none.
    """
    displays = machine.isa.displays if machine.isa is not None else {}
    if not device or device not in device_ids(machine):
        raise DeviceNotFound(device)
    if device not in displays or head != 0:
        raise QemuError(f"Device {device} (head {head}) is not bound to a QemuConsole")
    return displays[device]


def _display(machine: Machine, device: str | None, head: int) -> Vga:
    """The display of a device, or the first one.

    Raises:
        QemuError: there is none.
    """
    if device is not None:
        return find_display(machine, device, head)
    if machine.isa is None or machine.isa.vga is None:
        raise QemuError("There is no console to take a screendump from")
    return machine.isa.vga
