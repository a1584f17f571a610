"""Reading pcap files, by our own rules."""

import itertools
import struct
from pathlib import Path

HEADER = struct.Struct("=IHHiIII")
RECORD = struct.Struct("=IIII")


class Frame:
    """One frame: when, in microseconds; what was kept of it; its whole length."""

    def __init__(self, time_us: int, data: bytes, length: int) -> None:
        self.time_us = time_us
        self.data = data
        self.length = length


def read_pcap(path: Path, *, snap_length: int = 65536) -> list[Frame]:
    """All frames of a file; every byte of it is accounted for."""
    content = path.read_bytes()
    magic, major, minor, zone, accuracy, snap, link = HEADER.unpack_from(content)
    assert (magic, major, minor, zone, accuracy) == (0xA1B2C3D4, 2, 4, 0, 0)
    assert (snap, link) == (snap_length, 1)
    frames = []
    at = HEADER.size
    while at < len(content):
        seconds, microseconds, kept, length = RECORD.unpack_from(content, at)
        at += RECORD.size
        data = content[at : at + kept]
        assert len(data) == kept <= min(length, snap_length)
        assert microseconds < 1_000_000
        frames.append(Frame(seconds * 1_000_000 + microseconds, data, length))
        at += kept
    return frames


def gaps_ms(frames: list[Frame]) -> list[float]:
    return [(after.time_us - before.time_us) / 1000 for before, after in itertools.pairwise(frames)]
