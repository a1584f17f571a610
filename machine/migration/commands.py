"""Commands: words between the sections, from the source to the destination.

A command is a be16 number, a be16 length, and so many bytes.
"""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.migration.stream import COMMAND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.migration.return_path import ReturnPath
    from machine.vmstate.description import Report

OPEN_RETURN_PATH, PING, POSTCOPY_ADVISE, POSTCOPY_LISTEN, POSTCOPY_RUN = range(1, 6)
POSTCOPY_RAM_DISCARD, PACKAGED, ENABLE_COLO, POSTCOPY_RESUME, RECV_BITMAP = range(6, 11)

# By number: what QEMU calls it in its messages, and its length; None for any.
_COMMANDS: dict[int, tuple[str, int | None]] = {
    OPEN_RETURN_PATH: ("OPEN_RETURN_PATH", 0),
    PING: ("PING", 4),
    POSTCOPY_ADVISE: ("POSTCOPY_ADVISE", None),
    POSTCOPY_LISTEN: ("POSTCOPY_LISTEN", 0),
    POSTCOPY_RUN: ("POSTCOPY_RUN", 0),
    POSTCOPY_RAM_DISCARD: ("POSTCOPY_RAM_DISCARD", None),
    PACKAGED: ("PACKAGED", 4),
    ENABLE_COLO: ("(null)", 0),
    POSTCOPY_RESUME: ("POSTCOPY_RESUME", 0),
    RECV_BITMAP: ("RECV_BITMAP", None),
}
_IN_POSTCOPY = (POSTCOPY_LISTEN, POSTCOPY_RUN, POSTCOPY_RAM_DISCARD)


def open_return_path(file: QEMUFileWriter) -> None:
    """Ask for the return path, and for a sign that it works, as QEMU does."""
    _put(file, OPEN_RETURN_PATH)
    _put(file, PING, (1).to_bytes(4, "big"))


def _put(file: QEMUFileWriter, command: int, data: bytes = b"") -> None:
    file.put_byte(COMMAND)
    file.put_be16(command)
    file.put_be16(len(data))
    file.put_buffer(data)


class Commands:
    """The destination's side.

    Postcopy, where the machine runs before its memory is there, isn't simulated: a source may
    advise of it, and must not come to it.

    Args:
        return_path: None where a stream comes from that has none.
    """

    def __init__(self, return_path: ReturnPath | None, report: Report) -> None:
        self._return_path = return_path
        self._report = report
        self._is_advised = False

    def load(self, file: QEMUFileReader) -> None:
        """Read a command and do it.

        Raises:
            StreamError: after a report of what QEMU says.
        """
        command, size = file.get_be16(), file.get_be16()
        if file.error:
            raise StreamError(file.error)
        if command not in _COMMANDS:
            raise self._refusal(f"MIG_CMD {command:#x} unknown (len {size:#x})", errno.EINVAL)
        name, expected = _COMMANDS[command]
        if expected is not None and size != expected:
            text = f"{name} received with bad length - expecting {expected}, got {size}"
            raise self._refusal(text, errno.ERANGE)
        if command == OPEN_RETURN_PATH:
            self._open()
        elif command == PING:
            self._answer(file.get_be32())
        elif command == POSTCOPY_ADVISE:
            self._advise(size)
        elif command in _IN_POSTCOPY and not (self._is_advised and command != POSTCOPY_RUN):
            state = int(self._is_advised)
            raise self._refusal(f"CMD_{name} in wrong postcopy state ({state})")
        elif command == ENABLE_COLO:
            raise self._refusal("COLO is not simulated")
        else:
            raise self._refusal("Postcopy is not supported")

    def _open(self) -> None:
        if self._return_path is None:
            raise self._refusal("CMD_OPEN_RETURN_PATH failed")
        if self._return_path.is_open:
            self._report("CMD_OPEN_RETURN_PATH called when RP already open")
        self._return_path.is_open = True

    def _answer(self, ping: int) -> None:
        if self._return_path is None or not self._return_path.is_open:
            raise self._refusal(f"CMD_PING ({ping:#x}) received with no return path")
        self._return_path.answer(ping)

    def _advise(self, size: int) -> None:
        if self._is_advised:
            raise self._refusal("CMD_POSTCOPY_ADVISE in wrong postcopy state (1)")
        if size == 16:
            text = "RAM postcopy is disabled but have 16 byte advise"
            raise self._refusal(text, errno.EINVAL)
        if size:
            raise self._refusal(f"CMD_POSTCOPY_ADVISE invalid length ({size})", errno.EINVAL)
        self._is_advised = True

    def _refusal(self, text: str, errno_value: int = errno.EPERM) -> StreamError:
        self._report(text)
        return StreamError(errno_value)
