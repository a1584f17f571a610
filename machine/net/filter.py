"""Filters: objects that look at the frames of a back end; ``filter-dump`` writes them down."""

from __future__ import annotations

import os
import struct

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.net.network import NetClient

    Moment = Callable[[], int]  # microseconds since 1970

# Source: the pcap file format; native byte order says which it is.
_HEADER = struct.Struct("=IHHiIII")
_RECORD = struct.Struct("=IIII")
_MAGIC = 0xA1B2C3D4
_VERSION = (2, 4)
_ETHERNET = 1


class NetFilter:
    """What looks at the frames between a back end and its peer.

    Attributes:
        id: the object's.
        netdev: the back end, which holds this one in its list.
        queue: "all", "rx" for what comes to the back end, "tx" for what it sends.
        is_on: it looks at all.
        describe: the text for ``info network``, from the type's name on.
    """

    def __init__(
        self, id: str, netdev: NetClient, describe: Callable[[], str], removed: Callable[[], object]
    ) -> None:
        self.id = id
        self.netdev = netdev
        self.queue = "all"
        self.is_on = True
        self.describe = describe
        self._removed = removed

    @property
    def sees_received(self) -> bool:
        return self.is_on and self.queue in ("all", "rx")

    @property
    def sees_sent(self) -> bool:
        return self.is_on and self.queue in ("all", "tx")

    def take(self, frame: bytes) -> None:
        """Look at a frame."""

    def remove(self) -> None:
        """The back end goes; so does this."""
        self.close()
        self._removed()

    def close(self) -> None:
        if self in self.netdev.filters:
            self.netdev.filters.remove(self)

    def insert(self, position: str, where: str) -> None:
        """Take a place among the back end's filters.

        Args:
            position: ``head``, ``tail`` or ``id=`` and another filter's.
            where: "behind" or "before" that one.

        Raises:
            QemuError: there is no such filter.
        """
        filters = self.netdev.filters
        if position in ("head", "tail"):
            filters.insert(0 if position == "head" else len(filters), self)
            return
        other = position.removeprefix("id=")
        index = next((at for at, each in enumerate(filters) if each.id == other), None)
        if index is None:
            raise QemuError(f"filter '{other}' not found")
        filters.insert(index + (where == "behind"), self)


class DumpFilter(NetFilter):
    """Writes each frame into a pcap file.

    Args:
        max_length: bytes kept of a frame.
        now_us: the time that a frame gets.
        complain: told once when the file can't be written any more.

    Raises:
        QemuError: the file can't be made.
    """

    def __init__(
        self,
        id: str,
        netdev: NetClient,
        describe: Callable[[], str],
        removed: Callable[[], object],
        *,
        path: str,
        max_length: int,
        now_us: Moment,
        complain: Callable[[str], object],
    ) -> None:
        super().__init__(id, netdev, describe, removed)
        self._max_length = max_length
        self._now_us = now_us
        self._complain = complain
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o644)
            try:
                header = _HEADER.pack(_MAGIC, *_VERSION, 0, 0, max_length, _ETHERNET)
                os.write(self._fd, header)
            except OSError as error:
                os.close(self._fd)
                text = f"net dump write error: {os.strerror(error.errno or 0)}"
                raise QemuError(text, error.errno or 0) from error
        except OSError as error:
            text = f"net dump: can't open {path}: {os.strerror(error.errno or 0)}"
            raise QemuError(text, error.errno or 0) from error

    def take(self, frame: bytes) -> None:
        if self._fd < 0:
            return
        kept = frame[: self._max_length]
        seconds, microseconds = divmod(self._now_us(), 1_000_000)
        record = _RECORD.pack(seconds & 0xFFFFFFFF, microseconds, len(kept), len(frame)) + kept
        try:
            is_whole = os.write(self._fd, record) == len(record)
        except OSError:
            is_whole = False
        if not is_whole:
            self._complain("network dump write error - stopping dump")
            self._close_file()

    def close(self) -> None:
        super().close()
        self._close_file()

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
