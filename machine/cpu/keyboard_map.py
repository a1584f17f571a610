"""The letters of a keyboard's keys, for a guest that reads scan codes of set 1."""

from __future__ import annotations

# From a key's code on; the first row is of keys as they are, the second with shift.
_ROWS = (
    (0x02, "1234567890-=", "!@#$%^&*()_+"),
    (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
    (0x1E, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (0x37, "*", "*"),
    (0x39, " ", " "),
    (0x47, "789-456+1230.", "789-456+1230."),
    (0x56, "<", ">"),
)


def letter(code: int, *, shifted: bool) -> str:
    """The letter of a key, by its code; "" for a key without."""
    for first, plain, with_shift in _ROWS:
        if first <= code < first + len(plain):
            return (with_shift if shifted else plain)[code - first]
    return ""
