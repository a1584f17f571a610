"""As much of telnet as QEMU speaks: a greeting, and what is taken out of the input."""

from __future__ import annotations

IAC, BREAK = 0xFF, 0xF3
# IAC WILL ECHO, IAC WILL SUPPRESS-GO-AHEAD, IAC WILL BINARY, IAC DO BINARY
TELNET_GREETING = b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"


class TelnetInput:
    """Takes telnet's own bytes out of the input, as crudely as QEMU does.

    IAC and two bytes are dropped, whatever they are; IAC IAC is a 0xff and IAC BRK stands alone.
    """

    def __init__(self) -> None:
        self._dropping = 0  # how many bytes after an IAC were seen, plus one; 0 outside

    def decode(self, data: bytes) -> bytes:
        if not self._dropping and IAC not in data:
            return data
        text = bytearray()
        for byte in data:
            if not self._dropping:
                if byte == IAC:
                    self._dropping = 1
                else:
                    text.append(byte)
            elif self._dropping == 1 and byte == IAC:
                text.append(byte)
                self._dropping = 0
            elif self._dropping == 1 and byte != BREAK:
                self._dropping = 2
            else:
                self._dropping = 0
        return bytes(text)
