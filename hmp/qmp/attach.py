"""QMP on a character device: one session, which begins anew with each client."""

from __future__ import annotations

from hmp.qmp.session import QmpSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.chardev.device import Chardev
    from machine.machine import Machine


def attach(machine: Machine, chardev: Chardev, *, is_pretty: bool = False) -> QmpSession:
    """Serve whoever is on a character device, from now on."""
    session = QmpSession(
        machine,
        chardev.write,
        is_pretty=is_pretty,
        pause=chardev.pause,
        resume=chardev.resume,
    )
    session.receive_descriptor = chardev.take_descriptor
    chardev.attach(session.open, session.feed, session.close)
    return session
