"""The flash chips that a PC may have in its firmware's place: QEMU's cfi.pflash01.

A chip's content is a disk's: all of it is read when the board is made, and is RAM from then on
(``system.flash0``), which goes with the machine's state; the disk takes part in snapshots as any
other does. A guest's commands to a chip are not simulated, so nothing here writes but what a
loaded state brings.

Source: what QEMU 7.2 says of such machines at its monitor, and its streams of them.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.devices.storage import find_disk
from machine.memory import RamBlock
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import UInt8, UInt64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from machine.machine import Machine

PLACES = 2
SECTOR = 4096  # bytes
_UNIT = 512  # of a disk's size
_TYPE = "cfi.pflash01"
_READY = 0x80  # the status of a chip that does nothing
_END = 4 << 30  # where the first one's addresses end; the second's end where those begin
_LOW_END = 1 << 20
_MOST_IN_LOW_MEMORY = 128 << 10


class FlashChip:
    """One chip.

    Args:
        place: 0 for the one that the processor starts in.

    Attributes:
        backend: the disk that it is.
        base: its first address.
        block: what is in it.
        wcycle, cmd, status, counter: how far a command has come.
    """

    __slots__ = (
        "_differs",
        "backend",
        "base",
        "block",
        "cmd",
        "counter",
        "place",
        "status",
        "wcycle",
    )

    def __init__(self, place: int, backend: Backend, base: int, content: bytes) -> None:
        self.place = place
        self.backend = backend
        self.base = base
        self.block = RamBlock(chip_name(place), len(content))
        self.block.write(0, content)
        self.counter = 0
        self._differs = False
        self.reset()

    @property
    def disk_name(self) -> str:
        """The id of the drive, or of the node, as the ``drive`` property has it."""
        return shown_disk(self.backend)

    def reset(self) -> None:
        """What the reset button does: it answers with its content again."""
        self.wcycle = self.cmd = 0
        self.status = _READY

    def loaded(self) -> None:
        """Its content came with a machine's state; the disk may have another."""
        self._differs = not self.backend.is_read_only

    def write_back(self) -> None:
        """Give the disk the content that was loaded.

        Raises:
            QemuError: it can't be written.
        """
        if self._differs:
            self._differs = False
            if self.backend.node is not None:
                self.backend.node.write(0, [self.block.view])


FLASH = VMStateDescription(
    name="pflash_cfi01",
    fields=(UInt8("wcycle"), UInt8("cmd"), UInt8("status"), UInt64("counter")),
    post_load=lambda chip, _version: chip.loaded(),
)


def chip_name(place: int) -> str:
    """What the board calls a chip."""
    return f"system.flash{place}"


def shown_disk(backend: Backend) -> str:
    """How a ``drive`` property calls a disk; "" for none."""
    return backend.name or (backend.node.node_name if backend.node is not None else "")


class FlashChips:
    """The chips of a board, and the disks that its options give them.

    Attributes:
        chips: those that are there; none where the board has its own firmware.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._disks: list[Backend | None] = [None] * PLACES
        self.chips: list[FlashChip] = []

    def take_disk(self, place: int, name: str) -> None:
        """Put a disk in a place, as ``-M pc,pflash0=NAME`` does.

        Args:
            name: of a drive or a node.

        Raises:
            QemuError: there is none of this name, or it is taken.
        """
        self._put(place, find_disk(self._machine, name, _TYPE))

    def _put(self, place: int, backend: Backend) -> None:
        self._disks[place] = backend
        backend.attach(f"/machine/{chip_name(place)}", removable=False)
        if backend not in self._machine.drives.backends:
            self._machine.drives.backends.append(backend)

    def build(self) -> bool:
        """Make the chips, and map them.

        Returns:
            Whether there are any; else the board needs its own firmware.

        Raises:
            QemuError: a disk can't be one; QEMU's words.
        """
        for place in range(PLACES):
            self._take_drive(place)
        disks = [disk for disk in self._disks if disk is not None]
        if self._disks[0] is None and disks:
            raise QemuError("pflash1 requires pflash0")
        total = 0
        for place, disk in enumerate(disks):
            size = self._size(disk)
            total += size
            if total > self._machine.board.max_firmware:
                limit = self._machine.board.max_firmware
                raise QemuError(f"combined size of system firmware exceeds {limit} bytes")
            chip = FlashChip(place, disk, _END - total, _content(disk, size))
            self._machine.memory.map(chip.base, chip.block, readonly=True)
            if not place:
                self._map_low(chip.block)
            self.chips.append(chip)
        return bool(self.chips)

    def _take_drive(self, place: int) -> None:
        """A drive of this interface is another way to say it."""
        drive = self._machine.drives.place("pflash", 0, place)
        if drive is None:
            return
        if self._disks[place] is not None:
            raise QemuError(f"{drive.text}: clashes with -machine")
        self._put(place, drive.backend)
        drive.is_claimed = True

    def _size(self, disk: Backend) -> int:
        """How large a chip is, bytes."""
        try:
            size = -(-disk.medium().size // _UNIT) * _UNIT
        except QemuError as error:
            raise QemuError(f"can't get size of block device {disk.name}: {error}") from error
        if not size or size % SECTOR:
            raise QemuError(
                f"system firmware block device {disk.name} has invalid size {size}\n"
                f"{self._machine.program}: info: its size must be a non-zero multiple of "
                f"{SECTOR:#x}"
            )
        return size

    def _map_low(self, block: RamBlock) -> None:
        """Below 1 MiB is a copy of its end, where programs of the first PCs look for it."""
        size = self.low_size(block.size)
        copy = RamBlock("isa-bios", size)
        copy.write(0, block.read(block.size - size, size))
        self._machine.memory.map(_LOW_END - size, copy, readonly=True)

    @staticmethod
    def low_size(size: int) -> int:
        """How many of a chip's bytes are copied."""
        return min(size, _MOST_IN_LOW_MEMORY)

    def chip_of(self, node: BlockNode) -> FlashChip | None:
        """The chip whose disk has this node."""
        return next((chip for chip in self.chips if chip.backend.node is node), None)

    @property
    def states(self) -> Iterator[tuple[VMStateDescription, Any]]:
        """What is saved of them, in QEMU's order."""
        for chip in self.chips:
            yield FLASH, chip

    def reset(self) -> None:
        """What the reset button does."""
        for chip in self.chips:
            chip.reset()

    def write_back(self) -> None:
        """The machine runs: disks get what a loaded state brought."""
        for chip in self.chips:
            try:
                chip.write_back()
            except QemuError as error:
                code = error.errno_value
                text = os.strerror(code) if code else str(error)
                self._machine.report(f"Could not update PFLASH: {text}")

    def numbers(self) -> Iterator[tuple[str, str]]:
        """What the board's text asks for, by name."""
        for chip in self.chips:
            yield f"flash{chip.place}-drive", chip.disk_name
            yield f"flash{chip.place}-blocks", str(chip.block.size // SECTOR)
            yield f"flash{chip.place}-base", str(chip.base)
            if not chip.place:
                size = self.low_size(chip.block.size)
                yield "isa-bios-size", str(size)
                yield "isa-bios-base", str(_LOW_END - size)


def _content(disk: Backend, size: int) -> bytes:
    try:
        return disk.medium().read(0, size)
    except QemuError as error:
        raise QemuError(f"can't read block backend: {error}", error.errno_value) from error
