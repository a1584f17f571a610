"""One of the things that make up a saved state, and how a stream calls it."""

from __future__ import annotations

from machine.migration.qemufile import StreamError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report, VMStateDescription
    from machine.vmstate.registry import LiveState
    from machine.vmstate.vmdesc import Json


class OldStyleState:
    """State that isn't described: its owner writes and reads it, and a stream says only its size.

    It goes out in one piece, like a device's.
    """

    def save_state(self, file: QEMUFileWriter) -> None:
        """Write the section's body."""
        raise NotImplementedError

    def load_state(
        self, file: QEMUFileReader, version_id: int, report: Report
    ) -> Callable[[], object]:
        """Read the section's body and check it.

        Returns:
            What gives the owner its new state, once the whole section is known to be good.

        Raises:
            StreamError: after `report` got what QEMU says.
        """
        raise NotImplementedError


class SaveStateEntry:
    """One device, or other part of the machine, that is saved.

    Attributes:
        name: the device's path on its bus, if it has one, and what the state is called.
        compat_name: what streams call it that know no paths; "" for a device without a path.
        compat_instance_id: which of those it is.
        alias_id: another instance id under which streams may have it.
        section_id: the stream's short name of it.
        live: for what goes out in parts.
        old_style: for what isn't described; else `description` and `device` say what to do.
        load_section_id: the id that the stream being loaded gave it, 0 before any.
        load_version_id: likewise its version.
    """

    __slots__ = (
        "alias_id",
        "compat_instance_id",
        "compat_name",
        "description",
        "device",
        "instance_id",
        "live",
        "load_section_id",
        "load_version_id",
        "name",
        "old_style",
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
        compat_name: str = "",
        compat_instance_id: int = 0,
        live: LiveState | None = None,
        old_style: OldStyleState | None = None,
        description: VMStateDescription | None = None,
        device: Any = None,
    ) -> None:
        self.name = name
        self.instance_id = instance_id
        self.compat_name = compat_name
        self.compat_instance_id = compat_instance_id
        self.alias_id = alias_id
        self.section_id = section_id
        self.version_id = version_id
        self.priority = priority
        self.live = live
        self.old_style = old_style
        self.description = description
        self.device = device
        self.load_section_id = 0
        self.load_version_id = 0

    @property
    def is_unmigratable(self) -> bool:
        return self.description is not None and self.description.unmigratable

    @property
    def is_full(self) -> bool:
        """Whether it is saved, in one piece."""
        if self.description is not None:
            return self.description.is_needed(self.device)
        return self.old_style is not None

    @property
    def trace_text(self) -> str:
        """As trace events of its content have it."""
        kind = "(old)" if self.description is None else self.description.name
        return f"{self.name}, {kind}"

    def matches(self, name: str, instance_id: int) -> bool:
        """Whether a stream means this entry.

        A stream that doesn't know the device's path calls it by its plain name.
        """
        if name == self.name:
            return instance_id in (self.instance_id, self.alias_id)
        return name == self.compat_name != "" and instance_id in (
            self.compat_instance_id,
            self.alias_id,
        )

    def save(self, file: QEMUFileWriter) -> dict[str, Json]:
        """Write the body of a FULL section.  Returns its part of the description."""
        about: dict[str, Json] = {"name": self.name, "instance_id": self.instance_id}
        if self.description is not None:
            return about | self.description.save(file, self.device)
        assert self.old_style is not None
        before = file.transferred
        self.old_style.save_state(file)
        size = file.transferred - before
        # Here QEMU has the size before the type.
        data: dict[str, Json] = {"name": "data", "size": size, "type": "buffer"}
        return about | {"size": size, "fields": [data]}

    def load(self, file: QEMUFileReader, report: Report) -> Callable[[], object]:
        """Read the body of a FULL section.

        Returns:
            What gives the device its new state.

        Raises:
            StreamError: after `report` got what QEMU says.
            StreamStalled: the rest hasn't come yet.
        """
        device, version_id = self.device, self.load_version_id
        if self.description is not None:
            record = self.description.load(file, device, version_id, report)
            return lambda: record.apply(device)
        assert self.old_style is not None
        apply = self.old_style.load_state(file, version_id, report)
        if file.error:
            raise StreamError(file.error)
        return apply

    def __repr__(self) -> str:
        return f"<SaveStateEntry {self.section_id} {self.name} {self.instance_id}>"
