"""The ordered list of what belongs into a saved state."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.vmstate.blockers import Blockers
from machine.vmstate.entry import SaveStateEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report, VMStateDescription
    from machine.vmstate.entry import OldStyleState

    Progress = tuple[int, int]  # done, total: bytes of guest memory

NO_ALIAS = 0xFFFFFFFF  # QEMU's -1; a stream that says just this finds the entry too
LONGEST_NAME = 255  # bytes; the stream has one byte for it


def _pass_over(name: str, text: str = "") -> None:
    """Where nothing is traced."""


class LiveState:
    """State too large for one section: it goes out in parts, while the machine may run on."""

    def set_params(self, *, block: bool, shared: bool) -> None:
        """Learn how the machine is going to be saved, before anything of it is.

        Args:
            block: the disks go along (``migrate -b``).
            shared: only what their backing files haven't got (``migrate -i``).
        """

    @property
    def is_active(self) -> bool:
        """Whether it takes part in saving at all."""
        return True

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


class Registry:
    """The entries in the order of the stream: higher priority first, then as they came.

    Attributes:
        blockers: why the machine can't be saved, besides entries that can't.
        trace: takes the moments of saving and loading.
    """

    def __init__(
        self, *, blockers: Blockers | None = None, trace: Callable[..., object] = _pass_over
    ) -> None:
        self.trace = trace
        self.entries: list[SaveStateEntry] = []
        self.blockers = blockers or Blockers()
        self._next_section_id = 0

    def register(
        self,
        description: VMStateDescription,
        device: Any,
        *,
        path: str = "",
        instance_id: int | None = None,
        alias_id: int = NO_ALIAS,
        section_id: int | None = None,
        priority: int = 0,
    ) -> SaveStateEntry:
        """Let a device's state be saved.

        Args:
            description: what to save.
            device: whose attributes.
            path: where it is on its bus (``0000:00:03.0``), which tells it from its like; then
                the instance id is that of streams without paths.
            instance_id: None takes the next one of this name.
            alias_id: another one, under which older streams have it.
            section_id: None takes the next one of all.
            priority: devices that others need when they are loaded have a higher one.

        Raises:
            QemuError: the path is too long.
        """
        return self._register(
            description.name,
            description.version_id,
            path=path,
            instance_id=instance_id,
            alias_id=alias_id,
            section_id=section_id,
            priority=priority,
            description=description,
            device=device,
        )

    def register_old_style(
        self,
        name: str,
        version_id: int,
        old_style: OldStyleState,
        *,
        path: str = "",
        instance_id: int | None = None,
        section_id: int | None = None,
        device: Any = None,
    ) -> SaveStateEntry:
        """Let something be saved that writes and reads itself; `device` is who goes with it."""
        return self._register(
            name,
            version_id,
            path=path,
            instance_id=instance_id,
            section_id=section_id,
            old_style=old_style,
            device=device,
        )

    def register_live(
        self, name: str, version_id: int, live: LiveState, *, section_id: int | None = None
    ) -> SaveStateEntry:
        """Let something be saved in parts."""
        return self._register(name, version_id, section_id=section_id, alias_id=0, live=live)

    def set_params(self, *, block: bool, shared: bool) -> None:
        """Tell what is saved in parts how that is going to be."""
        for entry in self.entries:
            if entry.live:
                entry.live.set_params(block=block, shared=shared)

    def unregister(self, device: Any) -> None:
        """Forget all that was registered for a device, and the blockers that it owns."""
        self.entries = [
            entry
            for entry in self.entries
            if all(owner is not device for owner in (entry.device, entry.live, entry.old_style))
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
            if entry.matches(name, instance_id):
                return entry
        return None

    def find_loading(self, section_id: int) -> SaveStateEntry | None:
        """The entry to which the stream being loaded gave this section id."""
        for entry in self.entries:
            if entry.load_section_id == section_id:
                return entry
        return None

    def _register(
        self,
        name: str,
        version_id: int,
        *,
        path: str = "",
        instance_id: int | None = None,
        alias_id: int = NO_ALIAS,
        section_id: int | None = None,
        priority: int = 0,
        live: LiveState | None = None,
        old_style: OldStyleState | None = None,
        description: VMStateDescription | None = None,
        device: Any = None,
    ) -> SaveStateEntry:
        compat_name = ""
        compat_instance_id = 0
        if path:
            compat_name, name = name, f"{path}/{name}"
            if len(name.encode()) > LONGEST_NAME:
                raise QemuError(f"Path too long for VMState ({path})")
            compat_instance_id = self._next_compat_instance_id(compat_name, instance_id)
            instance_id = None
        if section_id is None:
            section_id = self._next_section_id
        self._next_section_id = max(self._next_section_id, section_id + 1)
        entry = SaveStateEntry(
            name=name,
            instance_id=self._next_instance_id(name, instance_id),
            compat_name=compat_name,
            compat_instance_id=compat_instance_id,
            alias_id=alias_id,
            section_id=section_id,
            version_id=version_id,
            priority=priority,
            live=live,
            old_style=old_style,
            description=description,
            device=device,
        )
        index = len(self.entries)
        while index and self.entries[index - 1].priority < priority:
            index -= 1
        self.entries.insert(index, entry)
        return entry

    def _next_instance_id(self, name: str, wanted: int | None) -> int:
        if wanted is not None:
            return wanted
        taken = [entry.instance_id for entry in self.entries if entry.name == name]
        return max(taken, default=-1) + 1

    def _next_compat_instance_id(self, name: str, wanted: int | None) -> int:
        if wanted is not None:
            return wanted
        taken = [entry.compat_instance_id for entry in self.entries if entry.compat_name == name]
        return max(taken, default=-1) + 1
