"""Character devices that come, go and change while the machine is there."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.chardev.device import Chardev, RingBuffer, check_chardev, open_chardev
from machine.chardev.options import ChardevOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine


def add_chardev(
    machine: Machine,
    options: ChardevOptions,
    tell: Callable[[str], object],
) -> Chardev:
    """Open a character device.

    Args:
        tell: takes the name of a new terminal.

    Raises:
        QemuError: it can't be opened, or there is one of its name.
    """
    made = _open(machine, options, tell)
    for device in made:
        if machine.find_chardev(device.label) is not None:
            _close(made)
            raise QemuError(
                f"attempt to add duplicate property '{device.label}' to object (type 'container')"
            )
    machine.chardevs += made
    return made[-1]


def remove_chardev(machine: Machine, label: str) -> None:
    """Raises: QemuError: there is none of this name, or somebody uses it."""
    device = find_chardev(machine, label)
    if device.is_busy:
        raise QemuError(f"Chardev '{label}' is busy")
    machine.chardevs.remove(device)
    device.close()


def change_chardev(
    machine: Machine, options: ChardevOptions, tell: Callable[[str], object]
) -> None:
    """Put another device in the place of one, whose user goes over to it.

    Args:
        options: with the name of the one there is.

    Raises:
        QemuError: there is none, its user can't go over, or the other can't be opened; then the
            first stays, if it has a user.
    """
    check_chardev(options)
    options.mux = False  # only a new device can be put behind a multiplexer
    label = options.label
    old = machine.find_chardev(label)
    if old is None:
        raise QemuError(f"Chardev '{label}' does not exist")
    if old.filename == "mux":
        raise QemuError("Mux device hotswap not supported yet")
    if old.is_busy and old.swap is None:
        raise QemuError("Chardev user does not support chardev hotswap")
    if not old.is_busy:
        # Nobody would notice: it goes first, and stays away if the other can't come.
        remove_chardev(machine, label)
        try:
            add_chardev(machine, options, tell)
        except QemuError as error:
            text = f"Failed to add chardev '{label}': {error}"
            raise QemuError(text, error.errno_value) from error
        return
    new = _open(machine, options, tell)[-1]
    machine.chardevs[machine.chardevs.index(old)] = new
    swap = old.swap
    assert swap is not None
    old.close()
    swap(new)


def find_chardev(machine: Machine, label: str) -> Chardev:
    """Raises: QemuError: there is none of this name."""
    device = machine.find_chardev(label)
    if device is None:
        raise QemuError(f"Chardev '{label}' not found")
    return device


def find_ring_buffer(machine: Machine, label: str) -> RingBuffer:
    """Raises: QemuError: there is none of this name, or it keeps nothing."""
    device = machine.find_chardev(label)
    if device is None:
        raise QemuError(f"Device '{label}' not found")
    if not isinstance(device, RingBuffer):
        raise QemuError(f"{label} is not a ringbuf device")
    return device


def _open(
    machine: Machine, options: ChardevOptions, tell: Callable[[str], object]
) -> list[Chardev]:
    """The device, behind the one below it where it is multiplexed."""
    label = options.label
    if options.backend == "mux":
        check_chardev(options)
        name = options.values["chardev"]
        base = machine.find_chardev(name)
        if base is None:
            raise QemuError(f"mux: base chardev {name} not found")
        return [_multiplex(machine, label, base)]
    if not options.mux:
        return [_open_one(machine, options, tell)]
    below = ChardevOptions(backend=options.backend, label=f"{label}-base", values=options.values)
    base = _open_one(machine, below, tell)
    return [base, _multiplex(machine, label, base)]


def _open_one(machine: Machine, options: ChardevOptions, tell: Callable[[str], object]) -> Chardev:
    try:
        return open_chardev(options, machine.loop, machine.report, tell)
    except OSError as error:  # the host's descriptors have run out
        reason = os.strerror(error.errno or 0)
        text = f"Failed to open chardev '{options.label}': {reason}"
        raise QemuError(text, error.errno or 0) from error


def _multiplex(machine: Machine, label: str, base: Chardev) -> Chardev:
    from machine.chardev.mux import EscapeKeys, Multiplexer

    keys = EscapeKeys(
        code=machine.escape_code,
        quit=machine.request_shutdown,
        commit=lambda: _commit(machine),
    )
    return Multiplexer(machine.loop, label, base, keys)


def _commit(machine: Machine) -> None:
    """Write what overlays hold to the images below them; nobody is told what can't be."""
    from machine.block_change import commit

    try:
        for _ in commit(machine, "all"):
            pass
    except QemuError:
        return


def _close(devices: list[Chardev]) -> None:
    for device in reversed(devices):
        device.close()
