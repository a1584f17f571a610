"""Disks of a machine that migrates: an image that both ends share, and content that goes along."""

import os
import re
import select
import subprocess
from pathlib import Path

import pytest

from tests.programs import MIB, Programs, has_arrived, status, wait_until
from tests.session import Session, normal

PAIRS = [("hmp", "qemu"), ("qemu", "hmp")]
SIZE = 3 * MIB


def drive(path: str, driver: str = "qcow2", interface: str = "none") -> tuple[str, str]:
    return "-drive", f"if={interface},id=d0,format={driver},file={path}"


def make(qemu_img: str, folder: Path, name: str, driver: str, data: bytes) -> None:
    (folder / "content").write_bytes(data)
    subprocess.run([qemu_img, "convert", "-O", driver, "content", name], cwd=folder, check=True)


def read_until(session: Session, end: bytes) -> bytes:
    """What a program says on stdout by itself, up to there."""
    assert session.process.stdout is not None
    got = b""
    while not got.endswith(end):
        assert select.select([session.process.stdout], [], [], 20)[0], got
        got += os.read(session.process.stdout.fileno(), 1 << 16)
    return got


# --- one image


def hand_over(start: Programs, first: str, second: str) -> tuple[Session, Session]:
    source = start(first, *drive("shared.qcow2"))
    target = start(second, *drive("shared.qcow2"), "-incoming", "unix:socket")
    assert not has_arrived(target)
    assert source('qemu-io d0 "write -q -P 1 0 64k"') == ""
    assert source("savevm before") == ""
    assert source("migrate -d unix:socket") == ""
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: has_arrived(target))
    return source, target


def test_a_shared_image_belongs_to_one_end_at_a_time(qemu_img: str, start: Programs) -> None:
    """Both programs say the same, at either end."""
    said = []
    for first, second in PAIRS:
        make(qemu_img, start.folder, "shared.qcow2", "qcow2", bytes(SIZE))
        source, target = hand_over(start, first, second)
        lines = [
            # The source has let go of it.
            source('qemu-io d0 "read -P 1 0 64k"'),
            source("savevm after"),
            source("info status"),
            # The target has it.
            target('qemu-io d0 "read -P 1 0 64k"'),
            target('qemu-io d0 "write -q -P 2 64k 64k"'),
            target("savevm there"),
            target("info snapshots"),
        ]
        if first == "hmp":  # QEMU would read old data after such an attempt
            assert 'Failed to get "write" lock' in source("cont")
        target.quit()
        # What the source knew of the image is old: it looks again.
        lines += [source("cont"), source('qemu-io d0 "read -P 2 64k 64k"')]
        lines += [source("info status"), source("info snapshots")]
        source.quit()
        subprocess.run([qemu_img, "check", "-q", "shared.qcow2"], cwd=start.folder, check=True)
        said.append([normal(line) for line in lines])
    assert said[0] == said[1]
    assert "there" in said[0][-1]


# --- the content goes along


@pytest.mark.parametrize("driver", ["qcow2", "raw"])
@pytest.mark.parametrize("option", ["-b", "-i"])
@pytest.mark.parametrize(("first", "second"), [*PAIRS, ("hmp", "hmp")])
def test_disks_go_along(
    option: str, driver: str, first: str, second: str, qemu_img: str, start: Programs
) -> None:
    data = os.urandom(MIB) + bytes(MIB) + b"end".rjust(MIB, b"\0")
    make(qemu_img, start.folder, "first", driver, data)
    make(qemu_img, start.folder, "second", driver, bytes(SIZE))
    machine: list[str] = []
    interface = "none"
    if second == "qemu":
        # It writes only to disks that a device uses.
        machine, interface = ["-M", "pc", "-accel", "tcg"], "virtio"
    source = start(first, *machine, *drive("first", driver, interface), "-S")
    target = start(
        second, *machine, *drive("second", driver, interface), "-S", "-incoming", "unix:socket"
    )
    assert not has_arrived(target)  # it listens by now
    assert source('qemu-io d0 "write -q -P 9 1M 64k"') == ""
    assert source(f"migrate {option} unix:socket").endswith("\n")
    progress = read_until(target, b"Completed 100 %\n")
    assert re.fullmatch(
        rb"Receiving block device images\n(Completed \d+ %\r)+Completed 100 %\n", progress
    )
    wait_until(lambda: has_arrived(target))
    assert status(source) == "completed"
    assert source.stderr() + target.stderr() == ""
    source.quit()
    target.quit()
    subprocess.run([qemu_img, "compare", "-q", "first", "second"], cwd=start.folder, check=True)
