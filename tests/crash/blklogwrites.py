"""Reads what QEMU's ``blklogwrites`` driver wrote down: the format of Linux's dm-log-writes."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.crash.record import Barrier, Event, Write

_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8


def image_options(image: Path, log: Path) -> str:
    """The image as ``--image-opts`` wants it, with all its writes put down in `log`."""
    return (
        "driver=qcow2,file.driver=blklogwrites"
        f",file.file.driver=file,file.file.filename={image}"
        f",file.log.driver=file,file.log.filename={log}"
    )


def read_log(path: Path) -> list[Event]:
    """The writes and barriers in a log."""
    data = path.read_bytes()
    if not data:
        return []
    magic, _version, entries, sector_size = struct.unpack_from("<QQQI", data)
    assert magic == _MAGIC, path
    events: list[Event] = []
    at = sector_size
    for _ in range(entries):
        sector, sectors, flags, _length = struct.unpack_from("<QQQQ", data, at)
        at += sector_size
        size = sectors * sector_size
        if flags & _DISCARD:
            # The file driver makes a hole of it, which reads as zeros.
            events.append(Write(sector * sector_size, bytes(size)))
        elif size and not flags & _MARK:
            events.append(Write(sector * sector_size, data[at : at + size]))
            at += size
        if flags & (_FLUSH | _FUA):
            events.append(Barrier())
    return events
