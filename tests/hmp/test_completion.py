import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from blockdev.qcow2.create import create_image
from hmp.monitor import Monitor
from machine.chardev.device import NullDevice, RingBuffer
from tests.hmp.trial import Session


def offered(session: Session, line: str) -> list[str]:
    return sorted(session.monitor.completions(line))


@pytest.fixture
def with_disks(ask: Session, tmp_path: Path) -> Session:
    """A monitor of a machine that has two disks with three snapshots, and an empty drive."""
    for name in ("d0", "d1"):
        create_image(str(tmp_path / name), 1 << 20)
        ask.machine.drives.add({"if": "none", "id": name, "file": str(tmp_path / name)})
    ask.machine.drives.add({"if": "none", "id": "fl"})
    for line in ("savevm both", "snapshot_blkdev_internal d0 only"):
        assert ask(line) == ""
    return ask


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sub" / "inner").mkdir(parents=True)
    for name in ("sub/f", ".hidden", "a b", "file.txt"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sav", ["savevm"]),
        ("info", ["info"]),
        ("inf", ["info"]),
        ("q", ["q", "qemu-io", "qom-get", "qom-list", "qom-set", "quit"]),
        ("i", ["i", "info"]),
        ("?", ["?"]),
        ("  snapshot_b", ["snapshot_blkdev", "snapshot_blkdev_internal"]),
        ("info b", ["balloon", "block", "block-jobs", "blockstats"]),
        ("   info stat", ["stats", "status"]),
        ("help sav", ["savevm"]),
        ("? info stat", ["stats", "status"]),
        ("help help sav", ["savevm"]),
        ("sendkey ctrl-al", ["alt", "alt_r"]),
        ("sendkey ctr", ["ctrl", "ctrl_r"]),
        ("sendkey ctrl ", []),
        ("watchdog_action r", ["reset"]),
        ("watchdog_action reset ", []),
        ("migrate_set_capability xb", ["xbzrle"]),
        ("migrate_set_capability xbzrle ", ["off", "on"]),
        ("migrate_set_capability xbzrle on ", []),
        ("migrate_set_parameter downt", ["downtime-limit"]),
        ("chardev-remove ", []),
        ("nosuch ", []),
        ("nosuch", []),
        ("info/", []),
        ("x/", []),
        ("x /", []),
        ("p $", []),
        ("cont ", []),
        ("info version ", []),
        ("savevm ", []),
        ('"savevm" ', []),
    ],
)
def test_words(line, words, ask):
    assert offered(ask, line) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("set_link ", ["h0", "nic0"]),
        ("set_link h0 o", ["off", "on"]),
        ("set_link h0 on ", []),
        ("netdev_del ", ["h0"]),
        ("device_del n", ["nic0"]),
        ("device_del nic0 ", []),
        ("object_del ", ["io0"]),
        ("chardev-remove c", ["c0"]),
        ("chardev-send-break ", ["c0", "ring"]),
        ("ringbuf_read ", ["ring"]),
        ("ringbuf_write ring ", []),
        ("chardev-change ", []),
    ],
)
def test_parts_of_the_machine(line, words, ask_pc):
    for made in (
        "netdev_add hubport,id=h0,hubid=0",
        "device_add virtio-net-pci,id=nic0,netdev=h0",
        "device_add virtio-scsi-pci,id=scsi",
        "object_add iothread,id=io0",
    ):
        assert ask_pc(made) == ""
    machine = ask_pc.machine
    machine.chardevs.append(NullDevice(machine.loop, "c0"))
    machine.chardevs.append(RingBuffer(machine.loop, "ring", 64))
    assert offered(ask_pc, line) == words


def test_an_empty_line_offers_every_command(ask):
    names = {name for row in ask.monitor.commands for name in row.names}
    assert set(offered(ask, "")) == set(offered(ask, "  ")) == set(offered(ask, "help ")) == names


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eject ", ["d0", "d1", "fl"]),
        ("eject d", ["d0", "d1"]),
        ("eject -f d", ["d0", "d1"]),
        ("eject d0 d1 d", ["d0", "d1"]),
        ("help eject d", ["d0", "d1"]),
        ("info block -v d", ["d0", "d1"]),
        ("info block d0 d", ["d0", "d1"]),
        ("drive_backup -n -f -c d", ["d0", "d1"]),
        ("snapshot_blkdev d0 d", ["d0", "d1"]),
        ("snapshot_blkdev -n d0 d", []),
        ("qemu-io -d d", ["d0", "d1"]),
        ("block_resize d0 ", []),
        ("loadvm ", ["1", "1", "2", "both", "both", "only"]),
        ("loadvm o", ["only"]),
        ("delvm b", ["both", "both"]),
        ("loadvm only ", []),
        ("help loadvm o", ["only"]),
        ("eject " + "a " * 14, ["d0", "d1", "fl"]),
        ("eject " + "a " * 15, []),
        ("eject " + "a " * 16, []),
    ],
)
def test_disks_and_snapshots(line, words, with_disks):
    assert offered(with_disks, line) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("logfile ", [".hidden", "a b", "dangling", "file.txt", "link/", "sub/"]),
        ("screendump f", ["file.txt"]),
        ("wavcapture sub", ["sub/"]),
        ("wavcapture sub/", ["sub/f", "sub/inner/"]),
        ("wavcapture ./sub/i", ["./sub/inner/"]),
        ("wavcapture link/", ["link/f", "link/inner/"]),
        ("wavcapture x s", []),
        ("wavcapture nosuch/", []),
        ("change d0 f", ["file.txt"]),
        ("change d0 -f f", ["file.txt"]),
        ("change d0 x f", ["file.txt"]),  # each word counts for an option that may be missing
        ("change d0 -f x f", []),
        ("dump-guest-memory -p -d f", ["file.txt"]),
        ("screendump f -f p", []),
    ],
)
def test_files(line, words, ask, folder):
    assert offered(ask, line) == words


def test_names_from_the_root(ask):
    assert "/etc/" in offered(ask, "logfile /et")


def test_a_file_of_any_bytes_is_offered(ask, folder):
    os.close(os.open(b"\xff\xc3name", os.O_CREAT | os.O_WRONLY))
    assert offered(ask, "logfile \udcff") == ["\udcff\udcc3name"]


@pytest.mark.parametrize(
    ("line", "size"),
    [("loadvm bo", 2), ('loadvm "bo"', 2), ("loadvm ", 0), ("sendkey ctrl-a", 1), ("sav", 3)],
)
def test_how_much_is_typed_already(line, size, with_disks):
    assert with_disks.monitor.completion(line).typed_size == size


def test_what_is_typed_is_counted_in_bytes(with_disks):
    assert with_disks("savevm élan") == ""
    completion = with_disks.monitor.completion("loadvm é")
    assert (set(completion.candidates), completion.typed_size) == ({"élan"}, 2)


@pytest.mark.parametrize("line", ['loadvm "o', 'savevm "', '"sa'])
def test_an_open_quote_is_complained_of(line, ask):
    completion = ask.monitor.completion(line)
    assert (completion.candidates, completion.complaint) == ([], "unterminated string")


def test_completing_says_and_changes_nothing(ask):
    before = ask.machine.runstate
    for line in ("cont", "info ", 'loadvm "', "nosuch "):
        ask.monitor.completions(line)
    assert ask("") == ""
    assert ask.aside == []
    assert ask.machine.runstate is before


def test_every_command_completes_with_any_number_of_words(ask):
    monitor: Monitor = ask.monitor
    rows: Sequence[str] = [row.names[0] for row in monitor.commands]
    for name in rows:
        for words in range(5):
            monitor.completions(f"{name} " + "zz " * words)
    assert ask.machine.exceptions == []
