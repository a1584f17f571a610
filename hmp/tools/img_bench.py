"""`hmp-img bench`: how long a number of requests takes, one after the other."""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.img_words import ImgWords, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.tools.program import Program

_MOST = (1 << 31) - 1
_DEFAULT_COUNT = 75000
_AIO_MODES = ("threads", "native", "io_uring")


class _Request:
    """What is to be done how often."""

    def __init__(self, arguments: ImgWords) -> None:
        self.count = _DEFAULT_COUNT
        self.depth = 64
        self.flush_interval = self.offset = self.step = self.pattern = 0
        self.size = 4096
        self.cache = "writeback"
        self.writes = False
        self.drains = True
        program = arguments.program
        for option, value in arguments:
            if option == "c":
                self.count = _number(value, "request count")
            elif option == "d":
                self.depth = _number(value, "queue depth")
            elif option == "i":
                if value not in _AIO_MODES:
                    raise QemuError(f"Invalid aio option: {value}")
            elif option == "n":
                pass  # the kernel's own requests
            elif option == "o":
                self.offset = read_size(program, "offset", value)
            elif option == "s":
                self.size = read_size(program, "buffer size", value, least=1, most=_MOST)
            elif option == "S":
                self.step = read_size(program, "step_size", value, least=1, most=_MOST)
            elif option == "t":
                self.cache = value
            elif option == "w":
                self.writes = True
            elif option == "pattern":
                self.pattern = _number(value, "pattern byte", most=255)
            elif option == "flush-interval":
                self.flush_interval = _number(value, "flush interval")
            else:
                self.drains = False


def _number(text: str, what: str, *, most: int = _MOST) -> int:
    number = int(text) if text.isascii() and text.isdigit() else most + 1
    if number > most:
        raise QemuError(f"Invalid {what} specified")
    return number


def run(program: Program, words: Sequence[str]) -> int:
    long = {
        "flush-interval": "flush-interval:",
        "pattern": "pattern:",
        "no-drain": "no-drain",
    }
    arguments = ImgWords(program, words, "hc:d:f:ni:o:qs:S:t:wU", long, shared=["image-opts"])
    request = _Request(arguments)
    name = arguments.one_operand()
    mode = cache_mode(request.cache)
    if mode is None:
        raise QemuError("Invalid cache mode")
    if not request.writes and request.flush_interval:
        raise QemuError("--flush-interval is only available in write tests")
    if request.flush_interval and request.flush_interval < request.depth:
        raise QemuError("Flush interval can't be smaller than depth")
    source = ImageSource(program)
    node = arguments.open(source, name, read_only=not request.writes, cache=mode[0])
    step = request.step or request.size
    kind = "write" if request.writes else "read"
    program.write(
        f"Sending {request.count} {kind} requests, {request.size} bytes each, {request.depth} in "
        f"parallel (starting at offset {request.offset}, step size {step})\n"
    )
    if request.flush_interval:
        drain = "" if request.drains else "out"
        program.write(f"Sending flush every {request.flush_interval} requests with{drain} drain\n")
    program.flush()
    offset, data = request.offset, [bytes([request.pattern]) * request.size]
    start = time.monotonic()
    for number in range(request.count):
        if offset + request.size > node.size:
            offset = request.offset % max(1, node.size - request.size + 1)
        if request.writes:
            node.write(offset, data)
            if request.flush_interval and (number + 1) % request.flush_interval == 0:
                node.flush()
        else:
            node.read(offset, request.size)
        offset += step
    program.write(f"Run completed in {time.monotonic() - start:3.3f} seconds.\n")
    source.close()
    return 0
