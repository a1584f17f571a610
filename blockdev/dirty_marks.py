"""What a node wants to know of bitmaps: that they are told of writes, and where they are kept."""

from __future__ import annotations


class BitmapKeeper:
    """Keeps a node's persistent bitmaps in its image; formats that can do so have one."""

    def check_new(self, name: str, granularity: int) -> None:
        """See that another bitmap can be kept.

        Raises:
            QemuError: it can't.
        """
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Take a bitmap out of the image; harmless if it isn't there yet."""
        raise NotImplementedError


class DirtyMarks:
    """What is told of writes: all that a node wants to know of a bitmap."""

    __slots__ = ()

    def mark(self, offset: int, size: int) -> None:
        """These bytes are written."""
        raise NotImplementedError

    def resize(self, size: int) -> None:
        """The disk has `size` bytes now."""
        raise NotImplementedError
