"""Saving a machine: the header, the live sections in parts, the devices, and what describes them.

What is live (`LiveState`: the disks, the memory) goes out as START, PART after PART, and END;
a device, which is small, as one FULL section.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE
from machine.migration.commands import open_return_path
from machine.migration.stream import (
    CONFIGURATION,
    CONFIGURATION_STATE,
    EOF,
    MAGIC,
    SECTION_END,
    SECTION_FOOTER,
    SECTION_FULL,
    SECTION_PART,
    SECTION_START,
    VERSION,
    VMDESCRIPTION,
    Configuration,
)
from machine.vmstate.vmdesc import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from machine.migration.qemufile import QEMUFileWriter
    from machine.migration.stream import Switches
    from machine.vmstate.description import Report
    from machine.vmstate.entry import SaveStateEntry
    from machine.vmstate.registry import LiveState, Progress, Registry
    from machine.vmstate.vmdesc import Json


def _pass_over(name: str, text: str = "") -> None:
    """Where nothing is traced."""


class StateSaver:
    """Writes a stream in steps, so that a migration can stop the machine between two of them.

    Args:
        registry: what is saved.
        file: where to.
        machine_name, switches: for the stream's head and its dialect.
        report: takes a line about a part that couldn't be written.
        opens_return_path: the destination is to answer.
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
        opens_return_path: bool = False,
        with_live: bool = True,
    ) -> None:
        self._with_live = with_live
        self._registry = registry
        # What is only looked at is no moment of the machine's.
        self._trace = registry.trace if with_live else _pass_over
        self._file = file
        self._machine_name = machine_name
        self._switches = switches
        self._report = report
        self._opens_return_path = opens_return_path
        self._iterated: SaveStateEntry | None = None  # whose PART was written last

    def begin(self) -> None:
        """Write the header and the START sections."""
        file = self._file
        self._trace("savevm_state_header")
        file.put_be32(MAGIC)
        file.put_be32(VERSION)
        if self._switches.send_configuration:
            file.put_byte(CONFIGURATION)
            CONFIGURATION_STATE.save(file, Configuration(self._machine_name))
        if self._opens_return_path:
            open_return_path(file)
        self._trace("savevm_state_setup")
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
        self._trace("savevm_state_iterate")
        for entry, live in self._live():
            if self._file.rate_limit_reached():
                return False
            self._iterated = entry
            self._trace_section("start", entry)
            self._put_header(entry, SECTION_PART)
            is_clean = live.save_iterate(self._file)
            self._trace_section("end", entry, f" -> {int(is_clean)}")
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
        self._trace("savevm_state_complete_precopy")
        for entry, live in self._live():
            self._trace_section("start", entry)
            self._put_header(entry, SECTION_END)
            yield from live.save_complete(file)
            self._trace_section("end", entry, " -> 0")
            self._put_footer(entry)
        devices: list[Json] = []
        for entry in self._registry.entries:
            if entry.is_full:
                self._trace_section("start", entry)
                self._put_full_header(entry, SECTION_FULL)
                self._trace("vmstate_save", entry.trace_text)
                devices.append(entry.save(file))
                self._trace_section("end", entry, " -> 0")
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
        self._trace("savevm_state_cleanup")
        for _, live in self._live():
            live.save_cleanup()

    def progress(self) -> Progress:
        """How far the live sections have come, together."""
        steps = [live.progress() for _, live in self._live()]
        return sum([done for done, _ in steps]), sum([total for _, total in steps])

    def _trace_section(self, what: str, entry: SaveStateEntry, more: str = "") -> None:
        self._trace(f"savevm_section_{what}", f"{entry.name}, section_id {entry.section_id}{more}")

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
