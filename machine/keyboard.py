"""Keys by the names that people and programs give them, and how they are pressed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.machine import Machine

# QEMU's names of keys, sorted. `<` stands for `less`; a number, for a key's code.
KEY_NAMES = """
    0 1 2 3 4 5 6 7 8 9 a ac_back ac_bookmarks ac_forward ac_home ac_refresh again alt alt_r
    apostrophe asterisk audiomute audionext audioplay audioprev audiostop b backslash backspace
    bracket_left bracket_right c calculator caps_lock comma compose computer copy ctrl ctrl_r
    cut d delete dot down e end equal esc f f1 f10 f11 f12 f2 f3 f4 f5 f6 f7 f8 f9 find front g
    grave_accent h help henkan hiragana home i insert j k katakanahiragana kp_0 kp_1 kp_2 kp_3
    kp_4 kp_5 kp_6 kp_7 kp_8 kp_9 kp_add kp_comma kp_decimal kp_divide kp_enter kp_equals
    kp_multiply kp_subtract l lang1 lang2 left less lf m mail mediaselect menu meta_l meta_r
    minus muhenkan n num_lock o open p paste pause pgdn pgup power print props q r ret right ro
    s scroll_lock semicolon shift shift_r slash sleep spc stop sysrq t tab u undo unmapped up v
    volumedown volumeup w wake x y yen z
""".split()
_HOLD_MS = 10  # what QEMU takes, whatever its help says


def find_key(text: str) -> str | None:
    """A key by its name or code, "" for a code that stands for none; None for a mistake."""
    if text == "<":
        return "less"
    if text in KEY_NAMES:
        return text
    return find_code(int(text, 16)) if _is_code(text) else None


def find_code(code: int) -> str:
    """The key of a code; "" for none."""
    from machine.devices.scancodes import key_of_number

    return key_of_number(code) or ""


def _is_code(key: str) -> bool:
    return (
        key.startswith("0x") and key[2:].isalnum() and not key[2:].strip("0123456789abcdefABCDEF")
    )


def turn(machine: Machine, key: str, *, down: bool) -> None:
    """A key of the board's keyboard goes down or up."""
    assert machine.isa is not None, "who asks knows that there is one"
    machine.isa.keys.turn(key, machine.clock.now_ns(), down=down)
    if machine.guest is not None:
        machine.guest.wake()


def press(machine: Machine, keys: Sequence[str], hold_ms: int | None = None) -> None:
    """Press keys together, and let go of them; where nothing listens, QEMU does not mind.

    Args:
        keys: as `find_key` gives them.
        hold_ms: for how long.
    """
    if machine.isa is None:
        return
    if machine.is_running:
        hold_ns = (hold_ms or _HOLD_MS) * 1_000_000
        machine.isa.keys.press(keys, machine.clock.now_ns(), hold_ns)
        if machine.guest is not None:
            machine.guest.wake()
