"""The root of the error family: a failure in the words QEMU has for it."""

from __future__ import annotations


class QemuError(Exception):
    """A failure in QEMU's own words; the monitor prints ``Error: `` and then this text.

    The sentence is written where the fact is known; nothing on the way up rewords it.
    ``errno_value`` is the (positive) errno where QEMU's callers go by it, else 0.
    """

    def __init__(self, text: str, errno_value: int = 0) -> None:
        super().__init__(text)
        self.errno_value = errno_value

    @property
    def sentence(self) -> str:
        """The text without what is hinted at after it, which only people are told."""
        text = str(self)
        cause: BaseException | None = self
        seen: list[BaseException] = []
        while cause is not None:
            if isinstance(cause, HintedError):
                return text.removesuffix(f"\n{cause.hint}")
            seen.append(cause)
            # One that is raised again from what came of it is its own cause.
            cause = cause.__cause__ if cause.__cause__ not in seen else None
        return text


class HintedError(QemuError):
    """A failure with advice for people, on a line of its own after the sentence."""

    def __init__(self, sentence: str, hint: str, errno_value: int = 0) -> None:
        super().__init__(f"{sentence}\n{hint}", errno_value)
        self.hint = hint


class NotFound(QemuError):
    """Nothing is what was asked for; QMP tells such a failure from others."""


class DeviceNotFound(NotFound):
    """Nothing has the name that was given."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Device '{name}' not found")


class DeviceNotActive(QemuError):
    """What was asked for isn't there, or does nothing; QMP tells this from other failures too."""
