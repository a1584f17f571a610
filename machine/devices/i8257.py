"""The DMA controllers' registers; nothing here transfers by them.

Source: Intel's data sheet of the 8237A, of which the 8257 that PCs have is a later form.
"""

from __future__ import annotations

_CHANNELS = 4
_ALL_MASKED = 0x0F
_STATUS_OR_COMMAND, _MASK_STATE = 0, 1
_REQUEST, _ONE_MASK, _MODE, _CLEAR_FLIP_FLOP, _MASTER_CLEAR, _CLEAR_MASK, _MASK = range(1, 8)


class DmaController:
    """One chip.

    Args:
        shift: 1 for the one whose channels count words: its registers are two ports apart.
    """

    def __init__(self, shift: int) -> None:
        self._shift = shift
        # Address and count of each channel: as written, and as they are now.
        self._base = [[0, 0] for _ in range(_CHANNELS)]
        self._now = [[0, 0] for _ in range(_CHANNELS)]
        self._flip_flop = 0
        self._status = 0
        self._mask = 0xFF

    def read_channel(self, at: int) -> int:
        """A byte of an address or of a count: the low one first."""
        channel, which = divmod(at >> self._shift & 7, 2)
        shift = 8 * self._flip_flop
        self._flip_flop ^= 1
        return self._now[channel][which] >> shift & 0xFF

    def write_channel(self, at: int, value: int) -> None:
        channel, which = divmod(at >> self._shift & 7, 2)
        shift = 8 * self._flip_flop
        is_second = self._flip_flop == 1
        self._flip_flop ^= 1
        old = self._base[channel][which]
        self._base[channel][which] = old & ~(0xFF << shift) | value << shift
        if is_second:
            self._now[channel] = list(self._base[channel])

    def read_control(self, at: int) -> int:
        register = at >> self._shift & 7
        if register == _STATUS_OR_COMMAND:
            return self._status
        return self._mask if register == _MASK_STATE else 0

    def write_control(self, at: int, value: int) -> None:
        register = at >> self._shift & 7
        if register == _ONE_MASK:
            bit = 1 << (value & 3)
            self._mask = self._mask | bit if value & 4 else self._mask & ~bit
        elif register == _CLEAR_FLIP_FLOP:
            self._flip_flop = 0
        elif register == _MASTER_CLEAR:
            self._flip_flop = 0
            self._mask = 0xFF
        elif register == _CLEAR_MASK:
            self._mask = 0
        elif register == _MASK:
            self._mask = value
