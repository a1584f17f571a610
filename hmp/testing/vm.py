"""A machine under test: an `hmp` of its own, in a folder of its own, and what it saw."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hmp.testing.disks import Disk

if TYPE_CHECKING:
    import pexpect

PATIENCE = 30.0  # seconds that a test waits for a prompt, or for an end
_PROMPT = b"(qemu) "
_SOCKET_PATH_LIMIT = 100  # bytes; the kernel takes 107
PROGRAMS = {"qemu-system-x86_64": "hmp", "qemu-img": "hmp-img", "qemu-io": "hmp-io"}


def find_program(name: str) -> str:
    """The path of one of our programs.

    Raises:
        FileNotFoundError: it isn't installed.
    """
    beside = os.path.join(sysconfig.get_path("scripts"), name)
    found = beside if os.path.exists(beside) else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed beside {sys.executable}")
    return found


class VM:
    """A machine whose monitor a test, or the program under test, talks to.

    It is described first, and runs from `start` to `stop`; `argv` is for programs that want to
    start it themselves, and `spawn` for pexpect.  Nothing is shared between two of them: sockets
    and files are in the folder, or in one that goes with the machine where paths grow too long.

    Args:
        folder: for disks and all else, the program's current one too.
        arguments: options, as QEMU takes them; a machine without any board if they name none.
        disks: in a line each; see `hmp.testing.disks`.
        faults: by name; ``hmp --fault help`` lists them.
        deterministic: stop all clocks; ``%run SECONDS`` moves them.

    Attributes:
        disks: by their ids.
        faults: what will go wrong from its next start on.
        monitor_path, qmp_path: Unix sockets of the two monitors.
        argv: what starts it.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        disks: Sequence[str] = (),
        faults: Sequence[str] = (),
        deterministic: bool = False,
    ) -> None:
        self.folder = folder
        made = [Disk(text, number, folder) for number, text in enumerate(disks)]
        self.disks = {disk.id: disk for disk in made}
        self._sockets = tempfile.TemporaryDirectory(prefix="hmp-test-")
        place = folder
        if len(os.fsencode(folder)) > _SOCKET_PATH_LIMIT - len("/monitor"):
            place = Path(self._sockets.name)
        self.monitor_path = place / "monitor"
        self.qmp_path = place / "qmp"
        self._transcript = folder / "transcript"
        self._errors = folder / "stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: socket.socket | None = None
        board = [] if {"-M", "-machine"} & set(arguments) else ["-M", "none"]
        self._common = [find_program("hmp"), *board, "-nodefaults", "-display", "none"]
        self._common += arguments
        for disk in made:
            self._common += disk.arguments
        if deterministic:
            self._common += ["--deterministic"]
        self._common += ["--record", str(self._transcript)]
        self.faults = list(faults)

    @property
    def argv(self) -> list[str]:
        place = str(self.monitor_path).replace(",", ",,")
        qmp = str(self.qmp_path).replace(",", ",,")
        return [
            *self._with_faults(),
            *("-monitor", f"unix:{place},server=on,wait=off"),
            *("-qmp", f"unix:{qmp},server=on,wait=off"),
        ]

    def _with_faults(self) -> list[str]:
        return self._common + [word for fault in self.faults for word in ("--fault", fault)]

    # --- its life

    def start(self) -> VM:
        """Start it, and wait until its monitor takes clients.

        Raises:
            RuntimeError: it didn't start; the error has what it said.
        """
        # Into a file: a pipe that nobody reads would stop the program when it is full.
        with self._errors.open("wb") as errors:
            process = self._process = subprocess.Popen(
                self.argv, cwd=self.folder, stdin=subprocess.DEVNULL, stderr=errors
            )
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"{self.argv} did not start: {self.stderr}")
            time.sleep(0.01)
        return self

    def _is_ready(self) -> bool:
        """Whether the machine is made: it answers on QMP only then, though it listens before."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(str(self.qmp_path))
                client.sendall(b'{"execute": "qmp_capabilities"}\n')
                data = b""
                while data.count(b"\n") < 2:
                    more = client.recv(4096)
                    if not more:
                        return False
                    data += more
            except OSError:
                return False
        return True

    def spawn(self, **options: Any) -> pexpect.spawn[str]:
        """The machine with its monitor on a terminal that pexpect has, at its first prompt.

        Args:
            options: of `pexpect.spawn`.
        """
        import pexpect

        argv = [*self._with_faults(), "-monitor", "stdio"]
        settings: dict[str, Any] = {"cwd": str(self.folder), "timeout": PATIENCE, **options}
        settings.setdefault("encoding", "utf-8")
        child = pexpect.spawn(argv[0], argv[1:], **settings)
        child.expect_exact("(qemu) ")
        return child

    def stop(self) -> int | None:
        """End it if it runs, by asking first; its exit status, None if it never ran."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        status = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            status = self._process.returncode
            self._process = None
        self._sockets.cleanup()
        return status

    def __enter__(self) -> VM:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- talking to it

    def __call__(self, line: str) -> str:
        """Type a line at the monitor; the answer.

        While the test's own client is connected, others wait: `hang_up` lets them in.

        Raises:
            EOFError: the monitor is gone before it has answered; the error has what came.
        """
        if self._monitor is None:
            self._monitor = socket.socket(socket.AF_UNIX)
            self._monitor.settimeout(PATIENCE)
            self._monitor.connect(str(self.monitor_path))
            self._until_prompt()
        self._monitor.sendall(line.encode("utf-8", "surrogateescape") + b"\n")
        _, _, answer = self._until_prompt().partition(b"\r\n")  # behind the echo of the line
        text = answer.removesuffix(_PROMPT).decode("utf-8", "surrogateescape")
        return text.replace("\r\n", "\n")

    def _until_prompt(self) -> bytes:
        assert self._monitor is not None
        data = b""
        while not data.endswith(_PROMPT):
            more = self._monitor.recv(1 << 16)
            if not more:
                raise EOFError(f"the monitor hung up after {data!r}")
            data += more
        return data

    def hang_up(self) -> None:
        """Let other clients have the monitor."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    # --- what became of it

    @property
    def stderr(self) -> str:
        """What it wrote there since it was last started."""
        return self._errors.read_text("utf-8", "surrogateescape") if self._errors.exists() else ""

    @property
    def transcript(self) -> list[tuple[str, str]]:
        """Every line that its monitors took so far, from whom ever, with its answer."""
        try:
            text = self._transcript.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        entries = [json.loads(line) for line in text.splitlines()[1:]]
        return [(entry["line"], entry["answer"]) for entry in entries]

    @property
    def commands(self) -> list[str]:
        """The lines of `transcript`."""
        return [line for line, _ in self.transcript]

    def assert_commands(self, *expected: str) -> None:
        """Fail unless these lines were taken in this order; others may stand between them."""
        left = list(expected)
        for line in self.commands:
            if left and line == left[0]:
                del left[0]
        assert not left, f"{left[0]!r} did not come in its turn; there came {self.commands}"

    def assert_snapshots(self, *tags: str, on: Sequence[str] | None = None) -> None:
        """Fail unless these, in this order, are the snapshots in the image files.

        Args:
            tags: of all the snapshots there are.
            on: the ids of the disks; None for all that can have snapshots.
        """
        names = on if on is not None else [d.id for d in self.disks.values() if d.format != "raw"]
        for name in names:
            found = self.disks[name].snapshots()
            assert found == list(tags), f"disk {name!r} has the snapshots {found}"
