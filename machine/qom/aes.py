"""AES in CBC mode, the way back only: for secrets that another secret protects.

Source: FIPS 197, NIST SP 800-38A.  It is slow, and no shield against who can measure it.
"""

from __future__ import annotations

BLOCK_SIZE = 16
KEY_SIZE = 32
_ROUNDS = 14
_POLYNOMIAL = 0x11B


def _times(a: int, b: int) -> int:
    """The product in AES's field of 256 numbers."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (_POLYNOMIAL if a & 0x80 else 0)
        b >>= 1
    return product


def _substitutions() -> tuple[bytes, bytes]:
    """The table that replaces bytes, and the one that undoes it."""
    powers = [1]  # of 3, which leads through all numbers but 0
    while len(powers) < 255:
        powers.append(_times(powers[-1], 3))
    inverses = {power: powers[-index % 255] for index, power in enumerate(powers)}
    there, back = bytearray(256), bytearray(256)
    for number in range(256):
        inverse = inverses.get(number, 0)
        value = inverse
        for turn in range(4, 8):
            value ^= (inverse | inverse << 8) >> turn & 0xFF
        there[number] = value ^ 0x63
        back[there[number]] = number
    return bytes(there), bytes(back)


_THERE, _BACK = _substitutions()
_BY14, _BY11, _BY13, _BY9 = (
    bytes(_times(number, factor) for number in range(256)) for factor in (14, 11, 13, 9)
)


def _round_keys(key: bytes) -> list[bytes]:
    """The keys of all rounds, first to last."""
    words = [key[at : at + 4] for at in range(0, KEY_SIZE, 4)]
    constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 8 == 0:
            turned = (word[1:] + word[:1]).translate(_THERE)
            word = bytes((turned[0] ^ constant, *turned[1:]))
            constant = _times(constant, 2)
        elif len(words) % 8 == 4:
            word = word.translate(_THERE)
        words.append(_xor(word, words[-8]))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(first, second, strict=True))


def decrypt_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Decrypt blocks.

    Args:
        key: `KEY_SIZE` bytes.
        vector: `BLOCK_SIZE` bytes.
        data: a multiple of `BLOCK_SIZE` bytes; what pads it stays.
    """
    keys = _round_keys(key)
    plain = bytearray()
    for at in range(0, len(data), BLOCK_SIZE):
        block = data[at : at + BLOCK_SIZE]
        state = _xor(block, keys[_ROUNDS])
        for number in range(_ROUNDS - 1, -1, -1):
            # Rows were shifted to the left: byte 4c + r came from column c - r.
            state = bytes(state[(4 * (i // 4 - i % 4) + i % 4) % 16] for i in range(16))
            state = _xor(state.translate(_BACK), keys[number])
            if number:
                state = _unmix(state)
        plain += _xor(state, vector)
        vector = block
    return bytes(plain)


def _unmix(state: bytes) -> bytes:
    """Undo what mixed the bytes of each column."""
    mixed = bytearray()
    for column in range(0, 16, 4):
        for row in range(4):
            a, b, c, d = (state[column + (row + turn) % 4] for turn in range(4))
            mixed.append(_BY14[a] ^ _BY11[b] ^ _BY13[c] ^ _BY9[d])
    return bytes(mixed)
