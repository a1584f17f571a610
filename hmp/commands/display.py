"""Keys, pointers, pictures, sounds, and passwords for who may see them."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.description import has_none, print_description
from machine.identifiers import device_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.devices.vga import Vga
    from machine.machine import Machine


# QEMU's names of keys, sorted. `<` stands for `less`; a number, for a key's code.
_KEY_NAMES = """
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
"""


_HOLD_MS = 10  # what QEMU takes, whatever its help says


def sendkey(monitor: Monitor, *, keys: str, hold_time: int | None) -> None:
    pressed = []
    for text in keys.split("-"):
        key = _key(text)
        if key is None:
            monitor.print_line(f"invalid parameter: {text}")
            return
        pressed.append(key)
    machine = monitor.machine
    if machine.isa is None:
        return  # nothing listens, and QEMU does not mind
    if machine.is_running:
        hold_ns = (hold_time or _HOLD_MS) * 1_000_000
        machine.isa.keys.press(pressed, machine.clock.now_ns(), hold_ns)
        if machine.guest is not None:
            machine.guest.wake()


def _key(text: str) -> str | None:
    """A key by its name or code, "" for a code that stands for none; None for a mistake."""
    if text == "<":
        return "less"
    if text in _KEY_NAMES.split():
        return text
    if not _is_key_code(text):
        return None
    from machine.devices.scancodes import key_of_number

    return key_of_number(int(text, 16)) or ""


def _is_key_code(key: str) -> bool:
    return (
        key.startswith("0x") and key[2:].isalnum() and not key[2:].strip("0123456789abcdefABCDEF")
    )


def complete_key(machine: Machine, words: Sequence[str]) -> Completion:
    """Keys pressed together are joined with dashes; it is the last that is completed."""
    key = words[-1].rpartition("-")[2]
    return Completion.of(key, _KEY_NAMES.split() if len(words) == 1 else ())


def mouse_move(monitor: Monitor, *, dx_str: str, dy_str: str, dz_str: str | None) -> None:
    """No guest of ours looks at the mouse, and QEMU says nothing either."""


def mouse_button(monitor: Monitor, *, button_state: int) -> None:
    """Likewise."""


def mouse_set(monitor: Monitor, *, index: int) -> None:
    keyboard, mouse = 1, 2
    if has_none(monitor, "mice") or index not in (keyboard, mouse):
        monitor.print_line(f"Mouse at index '{index}' not found")
    elif index == keyboard:
        monitor.print_line("Input device 'QEMU PS/2 Keyboard' is not a mouse")


def screendump(
    monitor: Monitor, *, filename: str, format: str | None, device: str | None, head: int | None
) -> None:
    if format not in (None, "png", "ppm"):
        raise QemuError(f"invalid parameter value: {format}")
    vga = _display(monitor.machine, device, head or 0)
    from machine.display.text_screen import picture

    picture(vga).save(filename, format or "ppm")


def _display(machine: Machine, device: str | None, head: int) -> Vga:
    """The display of a device, or the first one.

    Raises:
        QemuError: there is none.
    """
    displays = machine.isa.displays if machine.isa is not None else {}
    if device is not None:
        if not device or device not in device_ids(machine):
            raise QemuError(f"Device '{device}' not found")
        if device not in displays or head != 0:
            raise QemuError(f"Device {device} (head {head}) is not bound to a QemuConsole")
        return displays[device]
    if machine.isa is None or machine.isa.vga is None:
        raise QemuError("There is no console to take a screendump from")
    return machine.isa.vga


def set_password(
    monitor: Monitor, *, protocol: str, password: str, display: str | None, connected: str | None
) -> None:
    if connected not in (None, "keep", "fail", "disconnect"):
        raise QemuError(f"invalid parameter value: {connected}")
    _check_display(protocol)
    raise QemuError("Could not set password")


def expire_password(monitor: Monitor, *, protocol: str, time: str, display: str | None) -> None:
    _check_display(protocol)
    raise QemuError("Could not set password expire time")


def _check_display(protocol: str) -> None:
    """No machine of ours is shown over the network."""
    if protocol == "spice":
        raise QemuError("SPICE is not in use")
    if protocol != "vnc":
        raise QemuError(f"invalid parameter value: {protocol}")


def wavcapture(
    monitor: Monitor,
    *,
    path: str,
    audiodev: str,
    freq: int | None,
    bits: int | None,
    nchannels: int | None,
) -> None:
    monitor.print_line(f"Audiodev '{audiodev}' not found")


def stopcapture(monitor: Monitor, *, n: int) -> None:
    """No capture can be under way, and QEMU does not mind."""


def info_mice(monitor: Monitor) -> None:
    print_description(monitor, "mice", "No mouse devices connected\n")


def info_vnc(monitor: Monitor) -> None:
    monitor.print_line("None")


def info_spice(monitor: Monitor) -> None:
    monitor.print_line("Server: disabled")


def info_capture(monitor: Monitor) -> None:
    """Lists captures, of which there are none: see `wavcapture`."""


COMMANDS = (
    Command(
        name="sendkey",
        args_type="keys:s,hold-time:i?",
        params="keys [hold_ms]",
        help="send keys to the VM (e.g. 'sendkey ctrl-alt-f1', default hold time=100 ms)",
        run=sendkey,
        complete=complete_key,
    ),
    Command(
        name="mouse_move",
        args_type="dx_str:s,dy_str:s,dz_str:s?",
        params="dx dy [dz]",
        help="send mouse move events",
        run=mouse_move,
    ),
    Command(
        name="mouse_button",
        args_type="button_state:i",
        params="state",
        help="change mouse button state (1=L, 2=M, 4=R)",
        run=mouse_button,
    ),
    Command(
        name="mouse_set",
        args_type="index:i",
        params="index",
        help="set which mouse device receives events",
        run=mouse_set,
    ),
    Command(
        name="screendump",
        args_type="filename:F,format:-fs,device:s?,head:i?",
        params="filename [-f format] [device [head]]",
        help=(
            "save screen from head 'head' of display device 'device'in specified "
            "format 'format' as image 'filename'.Currently only 'png' and 'ppm' "
            "formats are supported."
        ),
        run=screendump,
    ),
    Command(
        name="set_password",
        args_type="protocol:s,password:s,display:-ds,connected:s?",
        params="protocol password [-d display] [action-if-connected]",
        help="set spice/vnc password",
        run=set_password,
    ),
    Command(
        name="expire_password",
        args_type="protocol:s,time:s,display:-ds",
        params="protocol time [-d display]",
        help="set spice/vnc password expire-time",
        run=expire_password,
    ),
    Command(
        name="wavcapture",
        args_type="path:F,audiodev:s,freq:i?,bits:i?,nchannels:i?",
        params="path audiodev [frequency [bits [channels]]]",
        help="capture audio to a wave file (default frequency=44100 bits=16 channels=2)",
        run=wavcapture,
    ),
    Command(
        name="stopcapture",
        args_type="n:i",
        params="capture index",
        help="stop capture",
        run=stopcapture,
    ),
)

INFO = (
    Command(
        name="mice",
        args_type="",
        params="",
        help="show which guest mouse is receiving events",
        run=info_mice,
    ),
    Command(
        name="vnc",
        args_type="",
        params="",
        help="show the vnc server status",
        run=info_vnc,
    ),
    Command(
        name="spice",
        args_type="",
        params="",
        help="show the spice server status",
        run=info_spice,
    ),
    Command(
        name="capture",
        args_type="",
        params="",
        help="show capture information",
        run=info_capture,
    ),
)
