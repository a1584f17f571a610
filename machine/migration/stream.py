"""The stream: the header, the sections one after the other, and the description at the end."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE
from machine.migration.qemufile import StreamError, StreamStalled
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import SizedBuffer, UInt32
from machine.vmstate.vmdesc import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeVar

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Record, Report
    from machine.vmstate.entry import SaveStateEntry
    from machine.vmstate.registry import LiveState, Progress, Registry
    from machine.vmstate.vmdesc import Json

    T = TypeVar("T")

MAGIC = 0x5145564D  # "QEVM"
VERSION = 3
OBSOLETE_VERSION = 2

EOF = 0x00
SECTION_START = 0x01
SECTION_PART = 0x02
SECTION_END = 0x03
SECTION_FULL = 0x04
VMDESCRIPTION = 0x06
CONFIGURATION = 0x07
SECTION_FOOTER = 0x7E

MAX_MACHINE_NAME = 1 << 20  # bytes; QEMU takes any length and stumbles over its memory
SKIPPED_AT_ONCE = 32 << 10  # bytes


class Switches:
    """What of the stream is written and insisted on; the defaults are those of 7.2's machines.

    Attributes:
        send_configuration: ``migration.send-configuration``.
        send_section_footer: ``migration.send-section-footer``.
        store_global_state: ``migration.store-global-state``; `GlobalState` goes by it.
        suppress_vmdesc: the machine's ``suppress-vmdesc``.
    """

    __slots__ = (
        "send_configuration",
        "send_section_footer",
        "store_global_state",
        "suppress_vmdesc",
    )

    def __init__(
        self,
        *,
        send_configuration: bool = True,
        send_section_footer: bool = True,
        store_global_state: bool = True,
        suppress_vmdesc: bool = False,
    ) -> None:
        self.send_configuration = send_configuration
        self.send_section_footer = send_section_footer
        self.store_global_state = store_global_state
        self.suppress_vmdesc = suppress_vmdesc


class Configuration:
    """The machine's name as the stream has it."""

    __slots__ = ("len", "name")

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.len = len(self.name)


def _check_machine(local: Configuration, record: Record, report: Report) -> None:
    # QEMU compares over the length received: a beginning of the name will do.
    received: bytes = record.values["name"].partition(b"\0")[0]
    if received != local.name[: record.values["len"]]:
        text = received.decode("utf-8", "surrogateescape")
        report(f"Machine type received is '{text}' and local is '{local.name.decode()}'")
        raise StreamError(errno.EINVAL)


CONFIGURATION_STATE = VMStateDescription(
    name="configuration",
    minimum_version_id=0,
    fields=(UInt32("len"), SizedBuffer("name", size_field="len", limit=MAX_MACHINE_NAME)),
    check=_check_machine,
)


# --- saving


class StateSaver:
    """Writes a stream in steps, so that a migration can stop the machine between two of them.

    Args:
        with_live: whether memory and disks are in it; without, it is for looking at alone.
    """

    def __init__(
        self,
        registry: Registry,
        file: QEMUFileWriter,
        *,
        machine_name: str,
        switches: Switches,
        report: Report,
        with_live: bool = True,
    ) -> None:
        self._with_live = with_live
        self._registry = registry
        self._file = file
        self._machine_name = machine_name
        self._switches = switches
        self._report = report
        self._iterated: SaveStateEntry | None = None  # whose PART was written last

    def begin(self) -> None:
        """Write the header and the START sections."""
        file = self._file
        file.put_be32(MAGIC)
        file.put_be32(VERSION)
        if self._switches.send_configuration:
            file.put_byte(CONFIGURATION)
            CONFIGURATION_STATE.save(file, Configuration(self._machine_name))
        for entry, live in self._live():
            self._put_full_header(entry, SECTION_START)
            live.save_setup(file)
            self._put_footer(entry)
        file.flush()

    def pending(self) -> int:
        """Bytes of content that are known to be unsent."""
        return sum([live.save_pending() for _, live in self._live()])

    def sync(self) -> None:
        """Look at what the running machine changed since."""
        for _, live in self._live():
            live.sync()

    def iterate(self) -> bool:
        """Write a PART section.  Returns whether none is needed any more for now."""
        for entry, live in self._live():
            if self._file.rate_limit_reached():
                return False
            self._iterated = entry
            self._put_header(entry, SECTION_PART)
            is_clean = live.save_iterate(self._file)
            self._put_footer(entry)
            self._file.flush()
            if self._file.error:
                self.report_failure()
            if not is_clean:
                return False
        return True

    def report_failure(self) -> None:
        """Say once which part couldn't be written, if it was one."""
        entry, self._iterated = self._iterated, None
        if entry:
            self._report(
                "failed to save SaveStateEntry with id(name): "
                f"{entry.section_id}({entry.name}): {-self._file.error}"
            )

    def complete(self) -> Generator[Progress]:
        """Write what is left, the devices and the description; the machine stands still.

        The caller sees to it that the file isn't blocked when it goes on after a step.
        """
        file = self._file
        for entry, live in self._live():
            self._put_header(entry, SECTION_END)
            yield from live.save_complete(file)
            self._put_footer(entry)
        devices: list[Json] = []
        for entry in self._registry.entries:
            if entry.is_full:
                self._put_full_header(entry, SECTION_FULL)
                devices.append(entry.save(file))
                self._put_footer(entry)
        file.put_byte(EOF)
        if not self._switches.suppress_vmdesc:
            text = to_json({"page_size": PAGE_SIZE, "devices": devices}).encode()
            file.put_byte(VMDESCRIPTION)
            file.put_be32(len(text))
            file.put_buffer(text)
        file.flush()

    def cleanup(self) -> None:
        """Saving is over: done, given up or failed."""
        for _, live in self._live():
            live.save_cleanup()

    def progress(self) -> Progress:
        """How far the live sections have come, together."""
        steps = [live.progress() for _, live in self._live()]
        return sum([done for done, _ in steps]), sum([total for _, total in steps])

    def _live(self) -> list[tuple[SaveStateEntry, LiveState]]:
        """What goes out in parts this time."""
        return [
            (entry, entry.live)
            for entry in self._registry.entries
            if self._with_live and entry.live and entry.live.is_active
        ]

    def _put_header(self, entry: SaveStateEntry, section_type: int) -> None:
        self._file.put_byte(section_type)
        self._file.put_be32(entry.section_id)

    def _put_full_header(self, entry: SaveStateEntry, section_type: int) -> None:
        self._put_header(entry, section_type)
        self._file.put_counted_string(entry.name.encode())
        self._file.put_be32(entry.instance_id)
        self._file.put_be32(entry.version_id)

    def _put_footer(self, entry: SaveStateEntry) -> None:
        if self._switches.send_section_footer:
            self._file.put_byte(SECTION_FOOTER)
            self._file.put_be32(entry.section_id)


def save_state(
    registry: Registry,
    file: QEMUFileWriter,
    *,
    machine_name: str,
    switches: Switches,
    report: Report,
) -> Generator[Progress]:
    """Write a whole stream, as savevm does; the machine stands still all the while.

    The file is flushed at the end, not closed.

    Raises:
        QemuError: it couldn't be written.
    """
    saver = StateSaver(registry, file, machine_name=machine_name, switches=switches, report=report)
    try:
        saver.begin()
        while not file.error:
            is_clean = saver.iterate()
            yield saver.progress()
            if is_clean:
                yield from saver.complete()
                break
    finally:
        saver.cleanup()
    if file.error:
        raise QemuError(
            f"Error while writing VM state: {os.strerror(file.error)}", errno_value=file.error
        )


# --- loading


def load_state(
    registry: Registry,
    file: QEMUFileReader,
    *,
    machine_name: str,
    switches: Switches,
    report: Report,
) -> Generator[Progress | None]:
    """Read a whole stream, and give each device its state.

    The switches decide what must be there, as in QEMU; nothing is detected.

    Yields:
        How far the memory is; None where the channel has nothing more for now.

    Raises:
        StreamError: after `report` got QEMU's lines.  What was loaded before stays loaded.
    """
    return _StateLoader(registry, file, machine_name, switches, report).load()


class _StateLoader:
    """One loading of a stream."""

    def __init__(
        self,
        registry: Registry,
        file: QEMUFileReader,
        machine_name: str,
        switches: Switches,
        report: Report,
    ) -> None:
        self._registry = registry
        self._file = file
        self._machine_name = machine_name
        self._switches = switches
        self._report = report

    def load(self) -> Generator[Progress | None]:
        for entry in self._registry.entries:
            if entry.is_unmigratable:
                self._report(f"State blocked by non-migratable device '{entry.name}'")
                raise StreamError(errno.EINVAL)
        yield from self._patiently(self._load_header)
        while True:
            section_type = yield from self._patiently(self._load_section_type)
            if section_type in (SECTION_START, SECTION_FULL):
                entry = yield from self._patiently(self._load_full_header)
                about = f"for instance {entry.instance_id:#x} of device '{entry.name}'"
                yield from self._load_section(entry, about)
            elif section_type in (SECTION_PART, SECTION_END):
                entry = yield from self._patiently(self._load_header_of_part)
                about = f"section id {_signed(entry.load_section_id)}({entry.name})"
                yield from self._load_section(entry, about)
            elif section_type == EOF:
                break
            else:
                self._report(f"Unknown savevm section type {section_type}")
                raise StreamError(errno.EINVAL)
        if not self._switches.suppress_vmdesc:
            yield from self._skip_description()

    def _patiently(self, step: Callable[..., T], *arguments: object) -> Generator[None, None, T]:
        """Take a step that only reads; as often as the channel has too little for it, wait."""
        while True:
            self._file.mark()
            try:
                return step(*arguments)
            except StreamStalled:
                self._file.rewind()
                yield

    def _load_header(self) -> None:
        file = self._file
        if file.get_be32() != MAGIC:
            self._report("Not a migration stream")
            raise StreamError(errno.EINVAL)
        version = file.get_be32()
        if version == OBSOLETE_VERSION:
            self._report("SaveVM v2 format is obsolete and don't work anymore")
            raise StreamError(errno.ENOTSUP)
        if version != VERSION:
            self._report("Unsupported migration stream version")
            raise StreamError(errno.ENOTSUP)
        if self._switches.send_configuration:
            if file.get_byte() != CONFIGURATION:
                self._report("Configuration section missing")
                raise StreamError(errno.EINVAL)
            local = Configuration(self._machine_name)
            CONFIGURATION_STATE.load(file, local, 0, self._report)

    def _load_section_type(self) -> int:
        section_type = self._file.get_byte()
        if self._file.error:
            raise StreamError(self._file.error)
        return section_type

    def _load_full_header(self) -> SaveStateEntry:
        file = self._file
        section_id = file.get_be32()
        size = file.get_byte()
        counted = file.get_buffer(size)
        if not size or len(counted) < size:
            self._report(f"Unable to read ID string for section {section_id}")
            raise StreamError(errno.EINVAL)
        name = counted.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        instance_id = file.get_be32()
        version_id = file.get_be32()
        if file.error:
            self._report(
                f"qemu_loadvm_section_start_full: Failed to read instance/version ID: {-file.error}"
            )
            raise StreamError(file.error)
        entry = self._registry.find(name, instance_id)
        if entry is None:
            self._report(
                f"Unknown savevm section or instance '{name}' {instance_id}. "
                "Make sure that your current VM setup matches your saved VM setup, "
                "including any hotplugged devices"
            )
            raise StreamError(errno.EINVAL)
        if version_id > entry.version_id:
            self._report(
                f"savevm: unsupported version {_signed(version_id)} for '{name}' "
                f"v{entry.version_id}"
            )
            raise StreamError(errno.EINVAL)
        entry.load_section_id = section_id
        entry.load_version_id = version_id
        return entry

    def _load_header_of_part(self) -> SaveStateEntry:
        section_id = self._file.get_be32()
        if self._file.error:
            self._report(
                f"qemu_loadvm_section_part_end: Failed to read section ID: {-self._file.error}"
            )
            raise StreamError(self._file.error)
        entry = self._registry.find_loading(section_id)
        if entry is None:
            self._report(f"Unknown savevm section {_signed(section_id)}")
            raise StreamError(errno.EINVAL)
        return entry

    def _load_section(self, entry: SaveStateEntry, about: str) -> Generator[Progress | None]:
        """The body and the footer."""
        apply: Callable[[], object] | None = None
        try:
            if entry.live:
                yield from entry.live.load(self._file, entry.load_version_id, self._report)
            else:
                apply = yield from self._patiently(entry.load, self._file, self._report)
        except StreamError:
            self._report(f"error while loading state {about}")
            raise
        if self._switches.send_section_footer:
            yield from self._patiently(self._load_footer, entry)
        if apply:
            apply()

    def _load_footer(self, entry: SaveStateEntry) -> None:
        mark = self._file.get_byte()
        if self._file.error:
            self._report(f"check_section_footer: Read section footer failed: {-self._file.error}")
            raise StreamError(errno.EINVAL)
        if mark != SECTION_FOOTER:
            self._report(f"Missing section footer for {entry.name}")
            raise StreamError(errno.EINVAL)
        section_id = self._file.get_be32()
        if section_id != entry.load_section_id:
            self._report(
                f"Mismatched section id in footer for {entry.name} - "
                f"read {section_id:#x} expected {entry.load_section_id:#x}"
            )
            raise StreamError(errno.EINVAL)

    def _skip_description(self) -> Generator[None]:
        """Read what describes the devices, so that its sender isn't cut off; it isn't needed."""
        section_type = yield from self._patiently(self._file.get_byte)
        if section_type != VMDESCRIPTION:
            self._report(f"Expected vmdescription section, but got {section_type}")
            return
        left = yield from self._patiently(self._file.get_be32)
        while left and not self._file.error:
            size = min(left, SKIPPED_AT_ONCE)
            yield from self._patiently(self._file.get_buffer, size)
            left -= size


def _signed(number: int) -> int:
    """An unsigned 32 bit number as QEMU prints it where it takes it for a signed one."""
    return number - (1 << 32) if number >> 31 else number
