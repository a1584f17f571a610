"""Clients that come, speak and vanish while the machine is saved; `make soak` has them for long."""

import socket
import time
from pathlib import Path

from tests.session import Session
from tests.soak.clients import Storm


def test_two_hundred_clients_leave_nothing_behind_and_lose_nothing(
    hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    storm = Storm(hmp, tmp_path)
    storm.rage(6.0)
    assert storm.faults == []
    assert storm.counts["commands"] > 200
    assert storm.counts["saves"] > 2
    assert storm.counts["jobs"] > 0


def test_without_descriptors_it_says_so_and_goes_on(hmp: str, tmp_path: Path) -> None:
    options = "-M none -nodefaults -display none -S -monitor stdio".split()
    place = str(tmp_path / "m")
    limited = ["sh", "-c", 'ulimit -n 20; exec "$@"', "sh", hmp]
    monitor = ["-monitor", f"unix:{place},server=on,wait=off"]
    session = Session([*limited, *options, *monitor], tmp_path)
    refused = [
        session(f"chardev-add socket,id=s{n},path=s{n},server=on,wait=off") for n in range(20)
    ]
    assert refused[0] == ""
    assert refused[-1] == "Error: Failed to open chardev 's19': Too many open files\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(place)
        before = cpu_ticks(session.process.pid)
        time.sleep(0.3)
        assert cpu_ticks(session.process.pid) - before < 15, "it looks again and again"
        assert session("chardev-remove s0") == ""
        assert client.recv(4096).startswith(b"QEMU")
    assert session("info name") == ""
    assert session.quit() == 0


def cpu_ticks(process: int) -> int:
    """What it has used, in hundredths of a second."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
