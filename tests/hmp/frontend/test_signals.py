"""Signals, sent to a process of its own."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from hmp.frontend.signals import process_name

from .records import TOY


@contextlib.contextmanager
def prompted(
    preexec_fn: Callable[[], object] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The toy program, its prompt being there."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*TOY, "-monitor", "stdio"], stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=preexec_fn
    ) as process:
        try:
            assert process.stdout
            read_prompt(process.stdout.fileno())
            yield process
        finally:
            process.kill()


def read_prompt(fd: int) -> None:
    got = b""
    while not got.endswith(b"(qemu) "):
        assert select.select([fd], [], [], 5)[0]
        got += os.read(fd, 4096)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_the_program_with_a_word_about_its_sender(number: signal.Signals) -> None:
    with prompted() as process:
        process.send_signal(number)
        assert process.wait(5) == 0
        assert process.stderr
        said = process.stderr.read().decode()
    own_name = process_name(os.getpid())
    assert said == f"toy: terminating on signal {number:d} from pid {os.getpid()} ({own_name})\n"


def test_a_sender_is_named_as_the_real_monitor_names_it(qemu: str) -> None:
    args = ["-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio"]
    with subprocess.Popen(
        [qemu, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as real:
        assert real.stdout
        assert real.stderr
        read_prompt(real.stdout.fileno())
        time.sleep(0.2)  # it prompts before it is ready for signals
        real.terminate()
        wanted = real.stderr.read().replace(os.path.basename(qemu).encode(), b"toy")
    with prompted() as process:
        process.terminate()
        assert process.stderr
        assert process.stderr.read() == wanted


def test_a_sender_that_is_gone_is_unknown() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert process_name(gone.pid) == "<unknown process>"


def test_signals_that_were_ignored_before_end_the_program_too() -> None:
    with prompted(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(5) == 0


def test_sigquit_kills() -> None:
    with prompted() as process:
        process.send_signal(signal.SIGQUIT)
        assert process.wait(5) == -signal.SIGQUIT


def test_a_signal_ends_a_program_whose_output_nobody_reads() -> None:
    with prompted() as process:
        assert process.stdin
        process.stdin.write(b"flood 10000000\nquit\n")
        process.stdin.flush()
        time.sleep(0.2)
        process.terminate()
        assert process.wait(5) == 0


def test_the_terminal_is_set_again_when_the_program_goes_on_after_a_stop() -> None:
    def lead_session() -> None:
        import fcntl

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    with subprocess.Popen(
        [*TOY, "-monitor", "stdio"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=lead_session,
    ) as process:
        try:
            read_prompt(master)
            during = termios.tcgetattr(slave)
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            termios.tcsetattr(slave, termios.TCSANOW, before)  # as a shell does
            process.send_signal(signal.SIGCONT)
            deadline = time.monotonic() + 5
            while termios.tcgetattr(slave) != during and time.monotonic() < deadline:
                time.sleep(0.01)
            assert termios.tcgetattr(slave) == during
            os.write(master, b"\x03")
            assert process.wait(5) == 0
        finally:
            process.kill()
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def test_a_watch_that_is_closed_leaves_signals_as_they_were() -> None:
    script = """
import signal, sys
sys.path[:0] = sys.argv[1:]
from toy import ToyMachine
from hmp.frontend.signals import SignalWatch
def state():
    return [signal.getsignal(n) for n in (1, 2, 15)], signal.pthread_sigmask(signal.SIG_BLOCK, [])
before = state()
watch = SignalWatch(ToyMachine())
assert state() != before
watch.close()
assert state() == before
"""
    folder = os.path.dirname(TOY[1])
    root = os.path.dirname(os.path.dirname(os.path.dirname(folder)))
    subprocess.run([sys.executable, "-c", script, folder, root], check=True, timeout=10)
