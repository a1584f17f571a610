"""The ordered list of what belongs into a saved state."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.vmstate.blockers import Blockers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report, VMStateDescription

    Progress = tuple[int, int]  # done, total: bytes of guest memory


NO_ALIAS = 0xFFFFFFFF  # QEMU's -1; a stream that says just this finds the entry too


class LiveState:
    """State too large for one section: it goes out in parts, while the machine may run on."""

    def save_setup(self, file: QEMUFileWriter) -> None:
        """Write the START section's body, and begin anew."""
        raise NotImplementedError

    def save_pending(self) -> int:
        """How much is still to be sent, as far as is known without looking; bytes of content."""
        raise NotImplementedError

    def sync(self) -> None:
        """Look at what changed since it was sent."""
        raise NotImplementedError

    def save_iterate(self, file: QEMUFileWriter) -> bool:
        """Write a PART section's body, of bounded size.  Returns whether nothing is left."""
        raise NotImplementedError

    def save_complete(self, file: QEMUFileWriter) -> Iterator[Progress]:
        """Write the END section's body: all that is left.  The machine stands still."""
        raise NotImplementedError

    def save_cleanup(self) -> None:
        """Saving is over, whether or not it came to its end."""
        raise NotImplementedError

    def progress(self) -> Progress:
        """How far saving has come."""
        raise NotImplementedError

    def load(
        self, file: QEMUFileReader, version_id: int, report: Report
    ) -> Generator[Progress | None]:
        """Read the body of any of these sections; yields None where it has to wait.

        Raises:
            StreamError: after `report` got what QEMU says.
        """
        raise NotImplementedError


class SaveStateEntry:
    """One device, or other part of the machine, that is saved.

    Attributes:
        alias_id: another instance id under which streams may have it.
        section_id: the stream's short name of it.
        live: for what goes out in parts; else `description` and `device` say what to do.
        load_section_id: the id that the stream being loaded gave it, 0 before any.
        load_version_id: likewise its version.
    """

    __slots__ = (
        "alias_id",
        "description",
        "device",
        "instance_id",
        "live",
        "load_section_id",
        "load_version_id",
        "name",
        "priority",
        "section_id",
        "version_id",
    )

    def __init__(
        self,
        *,
        name: str,
        instance_id: int,
        alias_id: int,
        section_id: int,
        version_id: int,
        priority: int,
        live: LiveState | None = None,
        description: VMStateDescription | None = None,
        device: Any = None,
    ) -> None:
        self.name = name
        self.instance_id = instance_id
        self.alias_id = alias_id
        self.section_id = section_id
        self.version_id = version_id
        self.priority = priority
        self.live = live
        self.description = description
        self.device = device
        self.load_section_id = 0
        self.load_version_id = 0

    @property
    def is_unmigratable(self) -> bool:
        return self.description is not None and self.description.unmigratable

    def __repr__(self) -> str:
        return f"<SaveStateEntry {self.section_id} {self.name} {self.instance_id}>"


class Registry:
    """The entries in the order of the stream: higher priority first, then as they came.

    Attributes:
        blockers: why the machine can't be saved, besides entries that can't.
    """

    def __init__(self, *, only_migratable: bool = False) -> None:
        self.entries: list[SaveStateEntry] = []
        self.blockers = Blockers(only_migratable=only_migratable)
        self._next_section_id = 0

    def register(
        self,
        description: VMStateDescription,
        device: Any,
        *,
        instance_id: int | None = None,
        alias_id: int = NO_ALIAS,
        section_id: int | None = None,
        priority: int = 0,
    ) -> SaveStateEntry:
        """Let a device's state be saved.

        Args:
            description: what to save.
            device: whose attributes.
            instance_id: None takes the next one of this name.
            alias_id: another one, under which older streams have it.
            section_id: None takes the next one of all.
            priority: devices that others need when they are loaded have a higher one.
        """
        return self._insert(
            SaveStateEntry(
                name=description.name,
                instance_id=self._instance_id(description.name, instance_id),
                alias_id=alias_id,
                section_id=self._section_id(section_id),
                version_id=description.version_id,
                priority=priority,
                description=description,
                device=device,
            )
        )

    def register_live(
        self, name: str, version_id: int, live: LiveState, *, section_id: int | None = None
    ) -> SaveStateEntry:
        """Let something be saved in parts."""
        return self._insert(
            SaveStateEntry(
                name=name,
                instance_id=self._instance_id(name, None),
                alias_id=0,
                section_id=self._section_id(section_id),
                version_id=version_id,
                priority=0,
                live=live,
            )
        )

    def unregister(self, device: Any) -> None:
        """Forget all that was registered for a device, and the blockers that it owns."""
        self.entries = [
            entry
            for entry in self.entries
            if entry.device is not device and entry.live is not device
        ]
        self.blockers.remove_of(device)

    def check_migratable(self) -> None:
        """To be asked before the machine is saved or migrates, or a snapshot is loaded.

        Raises:
            QemuError: something stands against it; the first device that can't be saved comes
                before any blocker.
        """
        for entry in self.entries:
            if entry.is_unmigratable:
                raise QemuError(f"State blocked by non-migratable device '{entry.name}'")
        for reason in self.blockers.reasons:
            raise QemuError(reason)

    def blocked_reasons(self) -> list[str]:
        """All that stands against saving, in the order of ``info migrate``."""
        devices = [
            f"non-migratable device: {entry.name}"
            for entry in self.entries
            if entry.is_unmigratable
        ]
        return [*reversed(self.blockers.reasons), *reversed(devices)]

    def find(self, name: str, instance_id: int) -> SaveStateEntry | None:
        for entry in self.entries:
            if entry.name == name and instance_id in (entry.instance_id, entry.alias_id):
                return entry
        return None

    def find_loading(self, section_id: int) -> SaveStateEntry | None:
        """The entry to which the stream being loaded gave this section id."""
        for entry in self.entries:
            if entry.load_section_id == section_id:
                return entry
        return None

    def _insert(self, entry: SaveStateEntry) -> SaveStateEntry:
        index = len(self.entries)
        while index and self.entries[index - 1].priority < entry.priority:
            index -= 1
        self.entries.insert(index, entry)
        return entry

    def _section_id(self, wanted: int | None) -> int:
        section_id = self._next_section_id if wanted is None else wanted
        self._next_section_id = max(self._next_section_id, section_id + 1)
        return section_id

    def _instance_id(self, name: str, wanted: int | None) -> int:
        if wanted is not None:
            return wanted
        taken = [entry.instance_id for entry in self.entries if entry.name == name]
        return max(taken, default=-1) + 1
