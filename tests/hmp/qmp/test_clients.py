"""Clients that others wrote, with both programs."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmp.qmp.conversation import normal
from tests.programs import wait_until

qmp = pytest.importorskip("qemu.qmp")
SHELL = Path(sys.executable).parent / "qmp-shell"
MACHINE = "-M pc -m 16 -accel tcg -S"
TYPED = """\
query-status
query-block
human-monitor-command command-line="info status"
blockdev-add {'driver': 'null-co', 'node-name': 'n0', 'size': 1048576}
query-named-block-nodes flat=true
nope
query-name a=1
system_reset
"""
TYPED_TO_HMP = "info status\ninfo name\nnope\ninfo block\nstop\ninfo status\n"


def is_listening(path: Path) -> bool:
    """Whether a Unix socket takes clients: it is there a moment before it does."""
    for line in Path("/proc/net/unix").read_text().splitlines():
        if line.endswith(f" {path}"):
            return line.split()[3] == "00010000"
    return False


@pytest.fixture
def sockets(hmp: str, qemu: str, tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Where each of the programs waits for a client."""
    found, running = {}, []
    for name, program in (("qemu", qemu), ("hmp", hmp)):
        path = found[name] = tmp_path / f"{name}.sock"
        # The shell for people asks for CPU 0, so there has to be one.
        options = f"{MACHINE} -nodefaults -display none -qmp unix:{path},server=on,wait=off"
        running.append(subprocess.Popen([program, *options.split()], cwd=tmp_path))
    wait_until(lambda: all(is_listening(path) for path in found.values()))
    yield found
    for each in running:
        each.terminate()
        assert each.wait(10) == 0


def test_the_library_negotiates_runs_and_gets_events(sockets: dict[str, Path]):
    async def talk(path: Path) -> list[object]:
        client = qmp.QMPClient("test")
        await client.connect(str(path))
        said: list[object] = [await client.execute("query-status")]
        with client.listener(("STOP", "RESUME")) as events:
            await client.execute("cont")
            await client.execute("stop")
            said += [(await events.get())["event"] for _ in range(2)]
        try:
            await client.execute("query-name", {"a": 1})
        except qmp.ExecuteError as error:
            said.append(str(error))
        said.append(await client.execute("human-monitor-command", {"command-line": "info kvm"}))
        await client.disconnect()
        return said

    theirs, ours = (asyncio.run(talk(path)) for path in sockets.values())
    assert ours == theirs


def test_many_requests_at_once_are_answered_each(sockets: dict[str, Path]):
    async def talk() -> list[object]:
        client = qmp.QMPClient("test")
        await client.connect(str(sockets["hmp"]))
        answers = await asyncio.gather(*(client.execute("query-uuid") for _ in range(100)))
        await client.disconnect()
        return answers

    answers = asyncio.run(talk())
    assert answers == [{"UUID": "00000000-0000-0000-0000-000000000000"}] * 100


@pytest.mark.parametrize(("option", "typed"), [("-v", TYPED), ("-H", TYPED_TO_HMP)])
def test_the_shell_shows_the_same(sockets: dict[str, Path], option: str, typed: str, tmp_path):
    shown = []
    for path in sockets.values():
        done = subprocess.run(
            [str(SHELL), option, str(path)],
            input=typed,
            capture_output=True,
            text=True,
            timeout=30,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            check=False,
        )
        text = done.stdout.replace(str(path), "SOCKET")
        shown.append([line for line in normal(text.splitlines()) if "Connected to" not in line])
    assert shown[1] == shown[0]
    assert len(shown[0]) > 5
