"""hmp-img: what it says to a wrong command line, and what it shows of a saved machine."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from machine.runstate import RunState
from tests.machine.machines import DIALECTS, MIB, SavedMachine
from tests.machine.reference import RealMonitor

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(scope="module")
def hmp_img():
    program = ROOT / ".venv" / "bin" / "hmp-img"
    assert program.exists(), "make test sets it up"
    return str(program)


@pytest.fixture(scope="module")
def folder(qemu, qemu_img, tmp_path_factory):
    """A stream of ours, and an image with two snapshots of a real machine and one of a disk."""
    path = tmp_path_factory.mktemp("img")
    machine = SavedMachine(MIB)
    machine.ram.write(0x3000, b"data")
    (path / "stream").write_bytes(machine.save(state=RunState.PAUSED))
    for name in ("disk.qcow2", "none.qcow2"):
        subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", name, "1M"], cwd=path, check=True)
    command = [qemu, "-M", "none", "-m", "1", "-S", "-drive"]
    with RealMonitor([*command, f"if=none,file={path}/disk.qcow2"]) as monitor:
        assert monitor.ask("savevm one") == []
        assert monitor.ask("savevm two") == []
    subprocess.run([qemu_img, "snapshot", "-c", "disk", "disk.qcow2"], cwd=path, check=True)
    subprocess.run([qemu_img, "snapshot", "-c", "disk", "none.qcow2"], cwd=path, check=True)
    # Its backing file is gone, which doesn't matter: the state is in the image itself.
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "gone", "1M"], cwd=path, check=True)
    overlay = [qemu_img, "create", "-q", "-f", "qcow2", "-b", "gone", "-F", "qcow2"]
    subprocess.run([*overlay, "overlay.qcow2"], cwd=path, check=True)
    with RealMonitor([*command, f"if=none,file={path}/overlay.qcow2"]) as monitor:
        assert monitor.ask("savevm only") == []
    (path / "gone").unlink()
    return path


def run(program, folder, *words):
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


# --- the command line


@pytest.mark.parametrize("line", ["", "foo", "--foo", "-x", "-", "info", "info --foo x"])
def test_a_wrong_command_line_is_told_what_qemu_img_says(line, hmp_img, qemu_img, folder):
    real = run(qemu_img, folder, *line.split())
    ours = run(hmp_img, folder, *line.replace("info", "vmstate").split())
    assert ours == (real[0], real[1], real[2].replace("qemu-img", "hmp-img"))
    assert ours[0] == 1


@pytest.mark.parametrize("words", [["vmstate"], ["vmstate", "a", "b", "c"]])
def test_a_wrong_number_of_names_is_refused(words, hmp_img, folder):
    status, out, errors = run(hmp_img, folder, *words)
    assert (status, out) == (1, "")
    assert errors == (
        "hmp-img: Expecting one image file name\nTry 'hmp-img --help' for more information\n"
    )


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["vmstate", "--help"], ["vmstate", "-h"]])
def test_help_says_what_there_is(words, hmp_img, folder):
    status, out, errors = run(hmp_img, folder, *words)
    assert (status, errors) == (0, "")
    assert "vmstate [-U] [--json] filename [snapshot]" in out


def test_the_version_is_that_of_qemu(hmp_img, folder):
    assert re.fullmatch(r"hmp-img version 7\.2\.0 \(hmp .*\)\n", run(hmp_img, folder, "-V")[1])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nosuch"], "Could not open 'nosuch': Could not open 'nosuch': No such file or directory"),
        (["."], "Could not open '.': "),
        (["stream", "a"], "Could not open 'stream': It is no image, so it has no snapshots"),
        (["disk.qcow2", "three"], "Snapshot 'three' does not exist in 'disk.qcow2'"),
        (["disk.qcow2", "disk"],
         "This is a disk-only snapshot. Revert to it  offline using qemu-img"),
        (["disk.qcow2"], "'disk.qcow2' has 2 snapshots with VM state, say which"),
        (["none.qcow2"], "'none.qcow2' has no VM state"),
        (["/dev/null"], "Not a migration stream"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_told_in_a_line(words, text, hmp_img, folder):
    status, out, errors = run(hmp_img, folder, "vmstate", *words)
    assert (status, out) == (1, "")
    assert errors.startswith(f"hmp-img: {text}")
    assert errors.count("\n") == 1


def test_a_missing_file_is_told_as_by_qemu_img(hmp_img, qemu_img, folder):
    real = run(qemu_img, folder, "snapshot", "-l", "nosuch")
    ours = run(hmp_img, folder, "vmstate", "nosuch")
    assert ours == (real[0], real[1], real[2].replace("qemu-img", "hmp-img"))


def test_an_image_in_use_is_refused_unless_that_is_asked_for(qemu, hmp_img, qemu_img, folder):
    drive = f"if=virtio,format=qcow2,file={folder}/disk.qcow2"
    with RealMonitor([qemu, "-M", "pc", "-accel", "tcg", "-m", "16", "-S", "-drive", drive]):
        real = run(qemu_img, folder, "snapshot", "-l", "disk.qcow2")
        ours = run(hmp_img, folder, "vmstate", "disk.qcow2", "one")
        assert ours == (real[0], real[1], real[2].replace("qemu-img", "hmp-img"))
        assert "lock" in ours[2]
        for option in ("-U", "--force-share"):
            status, out, _ = run(hmp_img, folder, "vmstate", option, "disk.qcow2", "one")
            assert (status, out.splitlines()[1]) == (0, "snapshot: one")


# --- what is shown

SHOWN = """\
file: stream
machine: none
stream: 7180 bytes with configuration, footers, description

ram: start, id 2, instance 0, version 4, 28 bytes
    block ram: 1048576 bytes

ram: part, id 2, instance 0, version 4, 6411 bytes
    pages of ram: 255 zero, 1 data

ram: end, id 2, instance 0, version 4, 8 bytes

timer: full, id 0, instance 0, version 2, 24 bytes
    cpu_ticks_offset (int64): 0
    unused (unused_buffer): 8 bytes, all zero
    cpu_clock_offset (int64): 0

globalstate: full, id 4, instance 0, version 1, 104 bytes
    size (uint32): 7
    runstate (buffer): "paused" in 100 bytes
"""


def test_a_stream_is_shown_section_by_section(hmp_img, folder):
    assert run(hmp_img, folder, "vmstate", "stream") == (0, SHOWN, "")


def test_a_snapshot_is_shown_by_tag_or_id_or_because_it_is_the_only_one(hmp_img, folder):
    for words in (["disk.qcow2", "two"], ["disk.qcow2", "2"], ["overlay.qcow2"]):
        status, out, errors = run(hmp_img, folder, "vmstate", *words)
        assert (status, errors) == (0, "")
        tag = "only" if words[0] == "overlay.qcow2" else "two"
        assert out.startswith(f"image: {words[0]}\nsnapshot: {tag}\nmachine: none\n")
        assert "\n    pages of ram: 256 zero, 0 data\n" in out
        assert 'runstate (buffer): "prelaunch" in 100 bytes' in out


def test_json_has_everything(hmp_img, folder):
    status, out, errors = run(hmp_img, folder, "vmstate", "--json", "stream")
    assert (status, errors) == (0, "")
    shown = json.loads(out)
    sections = shown.pop("sections")
    assert shown == {
        "filename": "stream",
        "snapshot": None,
        "machine": "none",
        "size": 7180,
        "trailing": 0,
        "dialect": {"configuration": True, "footers": True, "description": True},
        "configuration": {
            "name": "configuration",
            "version": None,
            "fields": [
                {"name": "len", "type": "uint32", "size": 4, "value": 4},
                {"name": "name", "type": "buffer", "size": 4, "value": b"none".hex()},
            ],
            "subsections": [],
        },
    }
    assert [section["type"] for section in sections] == ["start", "part", "end", "full", "full"]
    assert sections[0] | {"offset": 0} == {
        "type": "start",
        "id": 2,
        "name": "ram",
        "instance": 0,
        "version": 4,
        "offset": 0,
        "size": 28,
        "ram": {"total": MIB, "blocks": [{"name": "ram", "size": MIB}], "pages": {}},
    }
    pages = {"zero": 255, "filled": 0, "data": 1, "changed": 0, "compressed": 0}
    assert sections[1]["ram"] == {"pages": {"ram": pages}}
    state = sections[4]["state"]
    assert (state["name"], state["version"], state["subsections"]) == ("globalstate", 1, [])
    assert state["fields"][1] == {
        "name": "runstate",
        "type": "buffer",
        "size": 100,
        "value": b"paused".ljust(100, b"\0").hex(),
    }
    data = (folder / "stream").read_bytes()
    for section in sections:
        body = data[section["offset"] : section["offset"] + section["size"]]
        assert len(body) == section["size"]
        if section["type"] == "full":
            values = section["state"]["fields"]
            assert sum(field["size"] for field in values) == len(body)


def test_every_kind_of_value_is_shown(qemu, hmp_img, tmp_path):
    """A real machine's timers, arrays, structs, subsections and buffers, in both forms."""
    command = [qemu, "-M", "pc", "-accel", "tcg", "-m", "16", "-S"]
    with RealMonitor(command) as monitor:
        assert monitor.ask(f'migrate "exec:cat > {tmp_path}/pc"') == []
    _, out, _ = run(hmp_img, tmp_path, "vmstate", "pc")
    for line in (
        "machine: pc-i440fx-7.2",
        "    env.eip (uint64): 0xfff0",
        "    env.segs[1] (struct segment), version 1",
        "        selector (uint32): 0xf000",
        "    periodic_timer (timer): not running",
        "    cmos_data (buffer): ",
        "    subsection cpu/poll_control_msr, version 1",
        "        i2c_enable (bool): false",
    ):
        assert f"\n{line}" in f"\n{out}", line
    _, text, _ = run(hmp_img, tmp_path, "vmstate", "--json", "pc")
    sections = {section["name"]: section for section in json.loads(text)["sections"]}
    cpu = {field["name"]: field for field in sections["cpu"]["state"]["fields"]}
    assert cpu["env.eip"]["value"] == 0xFFF0
    assert cpu["env.segs"]["value"][1]["fields"][0]["value"] == 0xF000
    rtc = {field["name"]: field for field in sections["mc146818rtc"]["state"]["fields"]}
    assert rtc["periodic_timer"]["value"] is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_dialect_is_told(dialect, hmp_img, tmp_path):
    (tmp_path / "stream").write_bytes(SavedMachine(0, DIALECTS[dialect]).save())
    _, out, _ = run(hmp_img, tmp_path, "vmstate", "stream")
    words = {
        "modern": "machine: none\nstream: 765 bytes with configuration, footers, description\n",
        "plain": "stream: 111 bytes with nothing but sections\n",
    }
    assert out.startswith(f"file: stream\n{words[dialect]}")


def test_a_damaged_stream_shows_nothing_but_a_line(hmp_img, tmp_path):
    (tmp_path / "stream").write_bytes(SavedMachine(0).save()[:45])
    status, out, errors = run(hmp_img, tmp_path, "vmstate", "stream")
    assert (status, out) == (1, "")
    assert errors == "hmp-img: The stream ends at byte 45, in RAM\n"


def test_it_ends_when_nobody_reads_on(hmp_img, folder):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [hmp_img, "vmstate", "stream"], cwd=folder, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.stderr == b""


def test_a_full_disk_is_told(hmp_img, folder):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [hmp_img, "vmstate", "stream"], cwd=folder, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == b"hmp-img: Could not write the output: No space left on device\n"
