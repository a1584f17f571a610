"""What a program of ours writes: its standard output, and sentences on standard error."""

from __future__ import annotations

import os
import sys

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
else:
    import _signal as signal  # the same without enumerations, which take long to import

_MOST_WAITING = 1 << 16  # letters of output


class Program:
    """One run of a program.

    Attributes:
        name: as it was called; stands before its sentences.
        closers: called at the end, also after a failure.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.closers: list[Callable[[], object]] = []
        self._waiting: list[str] = []
        self._length = 0

    def write(self, text: str) -> None:
        """Write to standard output, line breaks and all; it may wait until `flush`."""
        self._waiting.append(text)
        self._length += len(text)
        if self._length > _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Bring out what was written.

        Raises:
            QemuError: it can't be.
        """
        data = "".join(self._waiting).encode("utf-8", "surrogateescape")
        self._waiting.clear()
        self._length = 0
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError as error:
            raise QemuError(f"Could not write the output: {error.strerror}") from error

    def say(self, text: str) -> None:
        """A line on standard error, behind the program's name."""
        self.complain(f"{self.name}: {text}\n")

    def complain(self, text: str) -> None:
        """Text for standard error as it is."""
        try:
            os.write(2, text.encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # nobody is there to read it


def run_program(run: Callable[[Program], int], *, failure: int = 1) -> int:
    """Start a program: the exit status.

    Args:
        run: the program itself; its own status is the one unless it fails.
        failure: the status where its last words can't be written.
    """
    from hmp.frontend.descriptors import fill_gaps

    # Like any tool, it ends silently when nobody reads on.

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    fill_gaps()
    program = Program(os.path.basename(sys.argv[0]))
    try:
        try:
            return run(program)
        finally:
            program.flush()
            for close in program.closers:
                close()
    except QemuError as error:
        program.say(str(error))
        return failure
    except MemoryError:
        program.say("Cannot allocate memory")
        return failure
    except Exception as error:  # a fault of ours, which is no reason for a page of Python
        program.say(f"Internal error: {type(error).__name__}: {error}")
        return failure
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return failure
