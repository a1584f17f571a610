"""The real QEMU beside us: its monitor, and what it makes of a stream."""

import os
import select
import subprocess
import time

PROGRAM = b"qemu-system-x86_64: "
PROMPT = b"\r\n(qemu) "
PATIENCE = 30.0  # seconds until a prompt must have come


class RealMonitor:
    """The monitor of a QEMU of its own; `with` ends it."""

    def __init__(self, command):
        self._process = subprocess.Popen(
            [*command, "-nodefaults", "-display", "none", "-monitor", "stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.is_gone = False
        self.stderr = []
        self.status = None
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def ask(self, line):
        """The lines a command answers with; None if the program ended instead."""
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.is_gone = True
        answer = b"" if self.is_gone else self._answer()
        if self.is_gone:
            return None
        text = answer.split(b"\x1b[K\r\n", 1)[1].removesuffix(b"(qemu) ")
        return text.decode("utf-8", "surrogateescape").split("\r\n")[:-1]

    def end(self):
        """Let the program end, and keep what it said on stderr, line by line."""
        if self.status is None:
            self.ask("quit")
            self._process.stdout.read()
            stderr = self._process.stderr.read().replace(PROGRAM, b"")
            self.stderr = stderr.decode("utf-8", "surrogateescape").split("\n")[:-1]
            self.status = self._process.wait(10)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # the program ended before it read the last line

    def _answer(self):
        """What comes up to the prompt; what follows it was not asked for, and is left out."""
        answer = b""
        deadline = time.monotonic() + PATIENCE
        while PROMPT not in answer:
            left = max(deadline - time.monotonic(), 0)
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            if not ready:
                self._process.kill()
                raise AssertionError(f"no prompt, but {answer!r}")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                self.is_gone = True
                return answer
            answer += data
        return answer[: answer.index(PROMPT) + len(PROMPT)]


class Arrival:
    """What became of an incoming migration.

    Attributes:
        reports: the lines on stderr.
        status: the exit status; 0 if the stream was taken.
        run_state: what `info status` said after a good one.
        memory: the guest's memory after a good one, if it was asked for.
    """

    def __init__(self, reports, status, run_state, memory):
        self.reports = reports
        self.status = status
        self.run_state = run_state
        self.memory = memory


def incoming(qemu, folder, stream, options=(), memory_size=0):
    """Let a stopped real QEMU take a stream in."""
    number = len(list(folder.iterdir()))
    path = folder / f"stream-{number}"
    path.write_bytes(stream)
    command = [qemu, "-M", "none", *options, "-S", "-incoming", f"exec:cat {path}"]
    run_state = memory = None
    with RealMonitor(command) as monitor:
        for _ in range(500):
            answer = monitor.ask("info status")
            if answer is None or answer[0] != "VM status: paused (inmigrate)":
                break
            time.sleep(0.01)
        if answer:
            run_state = answer[0].removeprefix("VM status: ")
            if memory_size:
                saved = folder / f"memory-{number}"
                assert monitor.ask(f'pmemsave 0 {memory_size} "{saved}"') == []
                memory = saved.read_bytes()
        monitor.end()
    return Arrival(monitor.stderr, monitor.status, run_state, memory)


def outgoing(qemu, folder, options=(), machine="none", run=False):
    """The stream that a real QEMU writes."""
    path = folder / "outgoing"
    command = [qemu, "-M", machine, *options, *([] if run else ["-S"])]
    with RealMonitor(command) as monitor:
        assert monitor.ask(f'migrate "exec:cat > {path}"') == []
    return path.read_bytes()
