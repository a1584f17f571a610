"""A machine that came from elsewhere makes itself known: each network card sends RARP frames.

Switches on the way learn from them where the card's address is now.  Source: RFC 903 for the
frame; the times are QEMU's.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.loop import Timer
    from machine.machine import Machine

FRAME_SIZE = 60  # bytes: the least that Ethernet carries, without the checksum
_BROADCAST = b"\xff" * 6
_ETHERTYPE_RARP = 0x8035
_ETHERNET, _IPV4 = 1, 0x0800
_REQUEST_REVERSE = 3
_MS_NS = 1_000_000


class AnnounceParameters:
    """The migration parameters ``announce-*``, with QEMU's own values.

    Attributes:
        initial: how long after the first round the second is, ms.
        max: how long at most between two rounds, ms.
        rounds: how many there are; 0 for none.
        step: how much longer each pause is than the one before, ms.
    """

    __slots__ = ("initial", "max", "rounds", "step")

    def __init__(
        self, *, initial: int = 50, max: int = 550, rounds: int = 5, step: int = 100
    ) -> None:
        self.initial = initial
        self.max = max
        self.rounds = rounds
        self.step = step

    def pauses_ns(self) -> list[int]:
        """The pauses between the rounds."""
        return [
            min(self.initial + self.step * number, self.max) * _MS_NS
            for number in range(self.rounds - 1)
        ]


class Announcement:
    """The rounds that are still to come.

    Args:
        names: of the network cards; None for all.
    """

    def __init__(
        self, machine: Machine, parameters: AnnounceParameters, names: Sequence[str] | None
    ) -> None:
        self._machine = machine
        self._names = names
        self._pauses = parameters.pauses_ns()
        self._timer: Timer | None = None
        if parameters.rounds:
            self._send_round()

    @property
    def is_over(self) -> bool:
        return self._timer is None or not self._timer.is_pending

    def cancel(self) -> None:
        """Send no further round."""
        if self._timer is not None:
            self._timer.cancel()

    def _send_round(self) -> None:
        for nic in self._machine.network.nics:
            if self._names is None or nic.name in self._names:
                nic.send(rarp_frame(nic.mac))
        if self._pauses:
            pause_ns = self._pauses.pop(0)
            # The real-time clock: a machine that is stopped is announced as well.
            deadline = time.monotonic_ns() + pause_ns
            self._timer = self._machine.loop.call_at(deadline, self._send_round)


def announce(
    machine: Machine,
    parameters: AnnounceParameters,
    interfaces: Sequence[str] | None = None,
    id: str = "",
) -> None:
    """Announce the machine's network cards: at once, and again after growing pauses.

    Args:
        parameters: how often.
        interfaces: the names of those that are announced; None for all.
        id: of the announcement: one that goes on under the same id ends.
    """
    running = machine.announcements
    if id in running:
        running.pop(id).cancel()
    for other in [other for other, each in running.items() if each.is_over]:
        del running[other]
    announcement = Announcement(machine, parameters, interfaces)
    if not announcement.is_over:
        running[id] = announcement


def rarp_frame(mac: bytes) -> bytes:
    """The frame in which a card asks which protocol address it has: nobody needs to answer."""
    head = _BROADCAST + mac + _ETHERTYPE_RARP.to_bytes(2, "big")
    formats = _ETHERNET.to_bytes(2, "big") + _IPV4.to_bytes(2, "big") + bytes([6, 4])
    unknown = bytes(4)  # the protocol addresses
    body = formats + _REQUEST_REVERSE.to_bytes(2, "big") + (mac + unknown) * 2
    return (head + body).ljust(FRAME_SIZE, b"\0")
