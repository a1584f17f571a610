"""What a typed line can be refused with."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError


class UsageError(QemuError):
    """The line does not fit the command; printed bare, with a pointer to help.

    Args:
        text: what the monitor prints; empty where QEMU prints nothing there.
        aside: what QEMU prints before it on its own standard output, wherever the monitor
            is; empty for nothing.
        line_end: what ends ``text``. Empty in the one case where QEMU forgets it.
    """

    def __init__(self, text: str, *, aside: str = "", line_end: str = "\n") -> None:
        super().__init__(text)
        self.aside = aside
        self.line_end = line_end


class WordError(QemuError):
    """A quoted word is not closed, or has an escape that means nothing.

    QEMU prints this aside, on its own standard output; what the monitor says depends on
    what the word was wanted for.
    """


class Canceled(QemuError):
    """The person at the terminal gave a command up while it ran."""

    def __init__(self) -> None:
        super().__init__(os.strerror(errno.ECANCELED), errno.ECANCELED)
