"""Keys, pointers, pictures, sounds, and passwords for who may see them."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.description import print_description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def sendkey(monitor: Monitor, *, keys: str, hold_time: int | None) -> None:
    from machine.keyboard import find_key, press

    pressed = []
    for text in keys.split("-"):
        key = find_key(text)
        if key is None:
            monitor.print_line(f"invalid parameter: {text}")
            return
        pressed.append(key)
    press(monitor.machine, pressed, hold_time)


def complete_key(machine: Machine, words: Sequence[str]) -> Completion:
    """Keys pressed together are joined with dashes; it is the last that is completed."""
    from machine.keyboard import KEY_NAMES

    key = words[-1].rpartition("-")[2]
    return Completion.of(key, KEY_NAMES if len(words) == 1 else ())


def mouse_move(monitor: Monitor, *, dx_str: str, dy_str: str, dz_str: str | None) -> None:
    """No guest of ours looks at the mouse, and QEMU says nothing either."""


def mouse_button(monitor: Monitor, *, button_state: int) -> None:
    """Likewise."""


def mouse_set(monitor: Monitor, *, index: int) -> None:
    try:
        monitor.machine.mice.select(index)
    except QemuError as error:
        monitor.print_line(str(error))


def screendump(
    monitor: Monitor, *, filename: str, format: str | None, device: str | None, head: int | None
) -> None:
    from machine.display.screen_file import save_screen

    if format not in (None, "png", "ppm"):
        raise QemuError(f"invalid parameter value: {format}")
    save_screen(monitor.machine, filename, format or "ppm", device, head or 0)


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
