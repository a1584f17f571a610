"""The order in which QEMU lists the named children of a container.

QEMU keeps them in one of GLib's hash tables and walks that backwards, so `info chardev` shows
neither the order of creation nor of names. The table's rules, observed over hundreds of names:
a string's hash is multiplied by 11 and taken modulo a prime; collisions go on by 1, 2, 3 ...
slots; a full table grows, and moves its entries in place.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# The largest prime below each power of two is the modulus of a table of that size.
PRIMES = (1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)
SMALLEST_SHIFT = 3


def string_hash(name: str) -> int:
    """GLib's hash of a string; bytes count with their sign."""
    value = 5381
    for byte in name.encode("utf-8", "surrogateescape"):
        value = (value * 33 + (byte ^ 0x80) - 0x80) & 0xFFFFFFFF
    return max(value, 2)  # 0 and 1 mark slots that are free


def children_in_order(names: Iterable[str]) -> list[str]:
    """The names as QEMU would list them.

    Args:
        names: in the order of creation, fewer than 60000; those that were deleted left out.
    """
    shift = SMALLEST_SHIFT
    slots: list[str | None] = [None] * (1 << shift)

    def free_slot(name: str, taken: Iterable[bool]) -> int:
        is_taken = list(taken)
        at = string_hash(name) * 11 % (1 << 32) % PRIMES[shift]
        step = 0
        while is_taken[at]:
            step += 1
            at = (at + step) % len(is_taken)
        return at

    for count, name in enumerate(names, 1):
        slots[free_slot(name, (slot is not None for slot in slots))] = name
        if len(slots) > count + count // 16:
            continue
        shift = max(int(count * 1.333).bit_length(), SMALLEST_SHIFT)
        old_size = len(slots)
        slots += [None] * ((1 << shift) - old_size)
        settled = [False] * len(slots)
        for start in range(old_size):
            if settled[start]:
                continue
            moving, slots[start] = slots[start], None
            while moving is not None:
                at = free_slot(moving, settled)
                settled[at] = True
                moving, slots[at] = slots[at], moving
    return [name for name in reversed(slots) if name is not None]
