"""Both programs beside each other, as the two ends of a migration."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.session import PLAIN, Session

MIB = 1 << 20
MEGABYTES = 16


class Programs:
    """Starts sessions of either program, and ends them all."""

    def __init__(self, paths: dict[str, str], folder: Path) -> None:
        self._paths = paths
        self._open: list[Session] = []
        self.folder = folder

    def __call__(self, name: str, *more: str, pass_fds: tuple[int, ...] = ()) -> Session:
        argv = [self._paths[name], *PLAIN, "-m", str(MEGABYTES), *more]
        session = Session(argv, self.folder, pass_fds)
        self._open.append(session)
        return session

    def close(self) -> None:
        for session in self._open:
            if session.process.stdin.closed:
                continue
            if session.process.poll() is None:
                session.quit()
            else:
                session.wait()

    def memory(self, session: Session) -> bytes:
        assert session(f"pmemsave 0 {MEGABYTES * MIB} out.bin") == ""
        return (self.folder / "out.bin").read_bytes()


def status(session: Session) -> str:
    found = re.search(r"^Migration status: (.*)$", session("info migrate"), re.M)
    return found[1] if found else "none"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


def has_arrived(session: Session) -> bool:
    return session("info status") != "VM status: paused (inmigrate)\n"
