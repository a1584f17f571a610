"""What a PC's keyboard sends for its keys, by QEMU's names of them.

Source: IBM's Personal System/2 Hardware Interface Technical Reference, "Keyboard"; Microsoft's
"Keyboard Scan Code Specification" for the keys that came later.
"""

from __future__ import annotations

# Scan code set 1, in the order of the codes, from 1 on; a dash where there is no key.
_IN_ROW = """
    esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace
    tab q w e r t y u i o p bracket_left bracket_right ret
    ctrl a s d f g h j k l semicolon apostrophe grave_accent
    shift backslash z x c v b n m comma dot slash shift_r kp_multiply
    alt spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock
    kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5 kp_6 kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal
    - - less f11 f12 kp_equals
""".split()
_ALONE = {
    "asterisk": 0x37,  # the key pad's
    "katakanahiragana": 0x70,
    "ro": 0x73,
    "hiragana": 0x77,
    "henkan": 0x79,
    "muhenkan": 0x7B,
    "yen": 0x7D,
    "kp_comma": 0x7E,
}
# Those behind the prefix 0xE0.
_EXTENDED = {
    "audioprev": 0x10,
    "audionext": 0x19,
    "kp_enter": 0x1C,
    "ctrl_r": 0x1D,
    "audiomute": 0x20,
    "calculator": 0x21,
    "audioplay": 0x22,
    "audiostop": 0x24,
    "volumedown": 0x2E,
    "volumeup": 0x30,
    "ac_home": 0x32,
    "kp_divide": 0x35,
    "alt_r": 0x38,
    "home": 0x47,
    "up": 0x48,
    "pgup": 0x49,
    "left": 0x4B,
    "right": 0x4D,
    "end": 0x4F,
    "down": 0x50,
    "pgdn": 0x51,
    "insert": 0x52,
    "delete": 0x53,
    "meta_l": 0x5B,
    "meta_r": 0x5C,
    "compose": 0x5D,
    "power": 0x5E,
    "sleep": 0x5F,
    "wake": 0x63,
    "ac_bookmarks": 0x66,
    "ac_refresh": 0x67,
    "stop": 0x68,
    "ac_forward": 0x69,
    "ac_back": 0x6A,
    "computer": 0x6B,
    "mail": 0x6C,
    "mediaselect": 0x6D,
}
# Set 2, for the codes of set 1 from 1 on: the 8042 turns one into the other.
_SET_2 = bytes.fromhex(
    "76 16 1e 26 25 2e 36 3d 3e 46 45 4e 55 66 0d 15 1d 24 2d 2c 35 3c 43 44 4d 54 5b 5a 14 1c 1b"
    "23 2b 34 33 3b 42 4b 4c 52 0e 12 5d 1a 22 21 2a 32 31 3a 41 49 4a 59 7c 11 29 58 05 06 04 0c"
    "03 0b 83 0a 01 09 77 7e 6c 75 7d 7b 6b 73 74 79 69 72 7a 70 71 84 60 61 78 07 0f 17 1f 27 2f"
    "37 3f 47 4f 56 5e 08 10 18 20 28 30 38 40 48 50 57 6f 13 19 39 51 53 5c 5f 62 63 64 65 67 68"
    "6a 6d 6e"
)
EXTENDED = 0xE0
_RELEASED = 0x80  # added to a code of set 1
_RELEASE_PREFIX = 0xF0  # before a code of set 2
# Keys with codes of their own: set 1 down and up, set 2 down and up.
_PRINT = ("e02ae037", "e0b7e0aa", "e012e07c", "e0f07ce0f012")
_OWN = {
    "pause": ("e11d45e19dc5", "", "e11477e1f014f077", ""),
    "print": _PRINT,
    "sysrq": _PRINT,
}

_CODES = {name: 1 + index for index, name in enumerate(_IN_ROW) if name != "-"} | _ALONE
_NAMES = {code: name for name, code in _CODES.items() if name != "asterisk"} | {
    code | _RELEASED: name for name, code in _EXTENDED.items()
}
_NAMES |= {0x54: "sysrq", 0xB7: "print", 0xC6: "pause"}


def key_of_number(number: int) -> str | None:
    """The key that ``sendkey`` means by a number: a code of set 1, from 0x80 on an extended one."""
    return _NAMES.get(number)


def scancodes(key: str, *, down: bool, set_1: bool) -> bytes:
    """What the keyboard sends when a key goes down or up; nothing for a key that it hasn't got.

    Args:
        set_1: in set 1, which PCs go by; else in set 2, which keyboards begin with.
    """
    if key in _OWN:
        return bytes.fromhex(_OWN[key][2 * (not set_1) + (not down)])
    is_extended = key in _EXTENDED
    code = _EXTENDED[key] if is_extended else _CODES.get(key)
    if code is None:
        return b""
    prefix = bytes([EXTENDED]) if is_extended else b""
    if set_1:
        return prefix + bytes([code if down else code | _RELEASED])
    released = b"" if down else bytes([_RELEASE_PREFIX])
    return prefix + released + _SET_2[code - 1 : code]
