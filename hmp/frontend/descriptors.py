"""The three descriptors that every program is given, except when it is not."""

from __future__ import annotations

import os


def fill_gaps() -> None:
    """Put /dev/null where standard input, output or errors are closed.

    To be called before anything is opened: it would get the free number, and a disk image as
    number 1 would receive the monitor's output.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == fd, "the lowest free number is given"
            os.set_inheritable(fd, True)
