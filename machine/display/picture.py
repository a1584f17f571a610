"""Pictures, and the files they are written to: PPM and PNG.

Source: the netpbm project's description of PPM; the PNG specification, second edition.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH, _RGB = 8, 2  # of the header: bits for each of three colours
_NO_FILTER = b"\0"  # before each row


class Picture:
    """Rows of pixels, three bytes each: red, green, blue.

    Args:
        width: pixels.
        rows: from the top; each has 3 * width bytes.
    """

    __slots__ = ("rows", "width")

    def __init__(self, width: int, rows: Sequence[bytes]) -> None:
        self.width = width
        self.rows = rows

    @property
    def height(self) -> int:
        return len(self.rows)

    def ppm(self) -> bytes:
        """The picture as a binary PPM file."""
        return f"P6\n{self.width} {self.height}\n255\n".encode() + b"".join(self.rows)

    def png(self) -> bytes:
        """The picture as a PNG file."""
        import zlib

        size = self.width.to_bytes(4, "big") + self.height.to_bytes(4, "big")
        pixels = b"".join(_NO_FILTER + row for row in self.rows)
        chunks = (
            (b"IHDR", size + bytes([_DEPTH, _RGB, 0, 0, 0])),
            (b"IDAT", zlib.compress(pixels)),
            (b"IEND", b""),
        )
        return _PNG_SIGNATURE + b"".join(
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
            for kind, data in chunks
        )

    def save(self, filename: str, format: str) -> None:
        """Write the picture into a new file.

        Args:
            format: ``ppm`` or ``png``.

        Raises:
            QemuError: the file can't be made or written.
        """
        data = self.png() if format == "png" else self.ppm()
        try:
            file = open(filename, "wb", buffering=0)  # noqa: SIM115 - errors of opening differ
        except OSError as error:
            text = f"failed to open file '{filename}': {error.strerror}"
            raise QemuError(text, error.errno or 0) from error
        try:
            with file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        except OSError as error:
            # A part of a picture is none; but it may be a device that was written to.
            if os.path.isfile(filename):
                os.unlink(filename)
            text = f"Unable to write to file: {error.strerror}"
            raise QemuError(text, error.errno or 0) from error
