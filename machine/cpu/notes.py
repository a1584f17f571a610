"""What the scripted guest knows about itself: words in the first page of its part of RAM.

======  =====  ========================================================
offset  bytes  little endian
======  =====  ========================================================
0       8      `MAGIC`: the words after it mean something
8       8      guest time at which it began, nanoseconds
16      8      pages written since
24      8      disk blocks written since
32      8 each the fields of `Notes` from `gave_up` on
======  =====  ========================================================

So a saved machine has no section for it: any QEMU loads the state, and the guest goes on in
whatever program runs it next.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import Memory

MAGIC = b"hmpguest"
_FIELDS = (
    "start_ns pages blocks gave_up ticks seconds keys frames shift cursor pages_choice "
    "pages_since_ns pages_before blocks_choice blocks_since_ns blocks_before"
).split()
_WORDS = struct.Struct(f"<8s{len(_FIELDS)}q")


class Notes:
    """The words, taken from memory and put back there.

    Attributes:
        gave_up: 1 when it heard that its disk can't be written; it writes no more then.
        ticks, seconds: of the timer, and those that it did its work for.
        keys, frames: that came, that it sent.
        shift: 1 while such a key is down.
        cursor: the cell in which the next letter is shown, counted from the upper left.
        pages_choice: which of the rates was chosen by key, 0 for none; the two words after it are
            since when, and what had been written before.  Likewise for the blocks.
    """

    __slots__ = ("_as_read", "_base", "_memory", *_FIELDS)

    if TYPE_CHECKING:
        start_ns: int
        pages: int
        blocks: int
        gave_up: int
        ticks: int
        seconds: int
        keys: int
        frames: int
        shift: int
        cursor: int
        pages_choice: int
        pages_since_ns: int
        pages_before: int
        blocks_choice: int
        blocks_since_ns: int
        blocks_before: int

    def __init__(self, memory: Memory, base: int) -> None:
        self._memory = memory
        self._base = base
        self._as_read = b""

    def clear(self) -> None:
        """Forget everything: the guest begins anew."""
        self._memory.write(self._base, bytes(_WORDS.size))

    def read(self) -> bool:
        """Take the words from memory; whether they mean something, else all are 0."""
        self._as_read = self._memory.read(self._base, _WORDS.size)
        magic, *values = _WORDS.unpack(self._as_read)
        if magic != MAGIC:
            values = [0] * len(values)
        for name, value in zip(_FIELDS, values, strict=True):
            setattr(self, name, value)
        return bool(magic == MAGIC)

    def write(self) -> None:
        """Put them back, where something changed."""
        data = _WORDS.pack(MAGIC, *[getattr(self, name) for name in _FIELDS])
        if data != self._as_read:
            self._memory.write(self._base, data)
            self._as_read = data
