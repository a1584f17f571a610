"""Migration blockers: reasons why the machine can't be saved, as long as they last."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Blocker:
    """One reason; it is told from others by identity, since two devices may have the same.

    Attributes:
        reason: the sentence that a save is refused with.
        owner: the device it came with, None for what isn't a device's.
    """

    __slots__ = ("owner", "reason")

    def __init__(self, reason: str, owner: Any = None) -> None:
        self.reason = reason
        self.owner = owner


class Blockers:
    """The reasons there are, the newest first: that is the one that a save is refused with.

    Args:
        beside: gives reasons that come and go by themselves, the newest first.

    Attributes:
        only_migratable: ``-only-migratable``: no reason is accepted.
        in_progress: the machine is being saved, so it is too late for a new reason.  Who saves
            says so.
    """

    def __init__(
        self,
        *,
        only_migratable: bool = False,
        beside: Callable[[], list[str]] = lambda: [],
    ) -> None:
        self._beside = beside
        self.only_migratable = only_migratable
        self.in_progress = False
        self._blockers: list[Blocker] = []

    def add(self, reason: str, owner: Any = None) -> Blocker:
        """Refuse every save from now on, until the blocker is removed.

        Raises:
            QemuError: the machine must stay migratable, or is being saved.
        """
        if self.only_migratable:
            raise QemuError(f"disallowing migration blocker (--only-migratable) for: {reason}")
        if self.in_progress:
            raise QemuError(
                f"disallowing migration blocker (migration/snapshot in progress) for: {reason}"
            )
        blocker = Blocker(reason, owner)
        self._blockers.insert(0, blocker)
        return blocker

    def remove(self, blocker: Blocker) -> None:
        self._blockers.remove(blocker)

    def remove_of(self, owner: Any) -> None:
        """Remove all that came with a device."""
        self._blockers = [blocker for blocker in self._blockers if blocker.owner is not owner]

    def check_device(self, type_name: str) -> None:
        """To be asked before a device that can't be saved is made.

        Raises:
            QemuError: the machine must stay migratable.
        """
        if self.only_migratable:
            raise QemuError(
                f"Device {type_name} is not migratable, but --only-migratable was specified"
            )

    @property
    def reasons(self) -> list[str]:
        """The newest first."""
        return [*self._beside(), *(blocker.reason for blocker in self._blockers)]
