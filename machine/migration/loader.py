"""Loading a machine: section by section, each given to whoever registered under its name.

A device is read and checked whole before it gets anything; what came before a bad section stays
loaded, as in QEMU.
"""

from __future__ import annotations

import errno

from machine.migration.commands import Commands
from machine.migration.qemufile import StreamError, StreamStalled
from machine.migration.stream import (
    COMMAND,
    CONFIGURATION,
    CONFIGURATION_STATE,
    EOF,
    MAGIC,
    OBSOLETE_VERSION,
    SECTION_END,
    SECTION_FOOTER,
    SECTION_FULL,
    SECTION_PART,
    SECTION_START,
    VERSION,
    VMDESCRIPTION,
    Configuration,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeVar

    from machine.migration.qemufile import QEMUFileReader
    from machine.migration.return_path import ReturnPath
    from machine.migration.stream import Switches
    from machine.vmstate.description import Report
    from machine.vmstate.entry import SaveStateEntry
    from machine.vmstate.registry import Progress, Registry

    T = TypeVar("T")

SKIPPED_AT_ONCE = 32 << 10  # bytes


def load_state(
    registry: Registry,
    file: QEMUFileReader,
    *,
    machine_name: str,
    switches: Switches,
    report: Report,
    return_path: ReturnPath | None = None,
) -> Generator[Progress | None]:
    """Read a whole stream, and give each device its state.

    The switches decide what must be there, as in QEMU; nothing is detected.  By the return path
    the source's pings are answered, if there is one.

    Yields:
        How far the memory is; None where the channel has nothing more for now.

    Raises:
        StreamError: after `report` got QEMU's lines.  What was loaded before stays loaded.
    """
    commands = Commands(return_path, report)
    return _StateLoader(registry, file, machine_name, switches, report, commands).load()


class _StateLoader:
    """One loading of a stream."""

    def __init__(
        self,
        registry: Registry,
        file: QEMUFileReader,
        machine_name: str,
        switches: Switches,
        report: Report,
        commands: Commands,
    ) -> None:
        self._registry = registry
        self._file = file
        self._machine_name = machine_name
        self._switches = switches
        self._report = report
        self._commands = commands
        self._trace = registry.trace

    def load(self) -> Generator[Progress | None]:
        for entry in self._registry.entries:
            if entry.is_unmigratable:
                self._report(f"State blocked by non-migratable device '{entry.name}'")
                raise StreamError(errno.EINVAL)
        yield from self._patiently(self._load_header)
        self._trace("loadvm_state_setup")
        while True:
            section_type = yield from self._patiently(self._load_section_type)
            self._trace("qemu_loadvm_state_section", str(section_type))
            if section_type in (SECTION_START, SECTION_FULL):
                entry = yield from self._patiently(self._load_full_header)
                about = f"for instance {entry.instance_id:#x} of device '{entry.name}'"
                self._trace(
                    "qemu_loadvm_state_section_startfull",
                    f"{entry.load_section_id}({entry.name}) {entry.instance_id} "
                    f"{entry.load_version_id}",
                )
                yield from self._load_section(entry, about)
            elif section_type in (SECTION_PART, SECTION_END):
                entry = yield from self._patiently(self._load_header_of_part)
                about = f"section id {_signed(entry.load_section_id)}({entry.name})"
                self._trace("qemu_loadvm_state_section_partend", str(entry.load_section_id))
                yield from self._load_section(entry, about)
            elif section_type == COMMAND:
                yield from self._patiently(self._commands.load, self._file)
            elif section_type == EOF:
                break
            else:
                self._report(f"Unknown savevm section type {section_type}")
                raise StreamError(errno.EINVAL)
        self._trace("qemu_loadvm_state_post_main", "0")
        if not self._switches.suppress_vmdesc:
            yield from self._skip_description()
        self._trace("loadvm_state_cleanup")

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
        self._trace("vmstate_load", entry.trace_text)
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
