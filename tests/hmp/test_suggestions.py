"""What the menu offers: for each line the words, and that the monitor takes them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockdev.qcow2.create import create_image
from hmp.arguments import Flag, FormatArgument
from hmp.command import Command
from hmp.commands import COMMANDS, INFO
from hmp.reading import read_line
from hmp.suggestions import suggest
from tests.hmp.trial import Session, TriedMachine

TAGS = ("one", "two", "a b", 'q"uo', "back\\slash", "new\nline", "-dash", "é")
GOOD = {"s": "zz", "S": "zz", "B": "disk0", "F": "f", "i": "1", "l": "1", "M": "64", "o": "64k"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A machine with two disks, and tags that need quotes; its folder has files that do."""
    folder = tmp_path_factory.mktemp("machine")
    before = os.getcwd()
    os.chdir(folder)
    machine = TriedMachine("pc", 16 << 20)
    create_image("disk0.qcow2", 1 << 20)
    create_image("sp ace,x.qcow2", 1 << 20)
    os.mkdir("a folder")
    Path("a folder/inside").touch()
    for number, file in enumerate(("disk0.qcow2", "sp ace,x.qcow2")):
        options = {"if": "none", "id": f"disk{number}", "file": file}
        if number:
            options["node-name"] = "node1"
        machine.drives.add(options, text="-drive", snapshot=False)
    session = Session(machine)
    for tag in TAGS:
        quoted = tag.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        assert session(f'savevm "{quoted}"') == ""
    yield session
    machine.close()
    os.chdir(before)


def offered(session: Session, line: str) -> list[str]:
    """How the line would go on with each: what is left of the cursor afterwards."""
    return [line[: len(line) - each.typed] + each.text for each in suggest(session.monitor, line)]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("max-bandwidth ", ["134217728B"]),
        ("block-incremental o", ["on", "off"]),
        ("multifd-compression z", ["zlib", "zstd"]),
        ("nosuch ", []),
    ],
)
def test_a_migration_parameter_has_values_of_its_kind(
    line: str, values: list[str], session: Session
) -> None:
    found = suggest(session.monitor, f"migrate_set_parameter {line}")
    assert [each.text for each in found] == values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sav", ["savevm"]),
        ("  sav", ["  savevm"]),
        ("info snap", ["info snapshots"]),
        ("info\tsnap", ["info\tsnapshots"]),
        ("info snapshots ", []),
        ("device_add virtio-net-pci,bus=", ["device_add virtio-net-pci,bus=pci.0"]),
        ("help info snap", ["help info snapshots"]),
        ("help loadv", ["help loadvm"]),
        ("bogus ", []),
        ("info bogus ", []),
        ("info usbh", []),
        ("loadvm o", ["loadvm one"]),
        ("loadvm one ", []),
        ('loadvm "o', ['loadvm "one"']),
        ("loadvm a", ['loadvm "a b"']),
        ('loadvm "a ', ['loadvm "a b"']),
        ('loadvm "a b"', ['loadvm "a b"']),
        ("delvm n", ['delvm "new\\nline"']),
        ('delvm "q', ['delvm "q\\"uo"']),
        ("delvm back", ["delvm back\\slash"]),
        ("delvm -", ["delvm -dash"]),
        ("info block d", ["info block disk0", "info block disk1"]),
        ("info block -", ["info block -n", "info block -v"]),
        ("info block -n -", ["info block -n -v"]),
        ("info block -v -", []),
        ("info block disk0 -", []),
        ("eject -f disk1", ["eject -f disk1"]),
        ("eject disk0 ", []),
        ("commit a", ["commit all"]),
        ("qemu-io n", ["qemu-io node1"]),
        ("qemu-io disk0 disc", ["qemu-io disk0 discard"]),
        ("change disk0 di", ["change disk0 disk0.qcow2"]),
        ("change disk0 sp", ['change disk0 "sp ace,x.qcow2"']),
        ("change disk0 a", ['change disk0 "a folder/']),
        ('change disk0 "a folder/', ['change disk0 "a folder/inside"']),
        ("change disk0 -f f q", ["change disk0 -f f qcow2"]),
        ("screendump f -", ["screendump f -f"]),
        ("screendump f -f p", ["screendump f -f ppm", "screendump f -f png"]),
        ("snapshot_delete_blkdev_internal disk0 two ",
            ["snapshot_delete_blkdev_internal disk0 two 2"]),
        ("migrate_set_capability xb", ["migrate_set_capability xbzrle"]),
        ("migrate_set_capability xbzrle o",
            ["migrate_set_capability xbzrle on", "migrate_set_capability xbzrle off"]),
        ("migrate_set_parameter max-b", ["migrate_set_parameter max-bandwidth"]),
        ("sendkey ctrl-alt-del", ["sendkey ctrl-alt-delete"]),
        ("log in_asm,op_o", ["log in_asm,op_opt"]),
        ("info registers ", ["info registers 0"]),
        ("cpu ", ["cpu 0"]),
        ("drive_add 0 if=none,fi", ["drive_add 0 if=none,file="]),
        ("drive_add 0 if=none,file=sp", ['drive_add 0 "if=none,file=sp ace,,x.qcow2"']),
        ("drive_add 0 file=disk0,,x,me", ["drive_add 0 file=disk0,,x,media="]),
        ("drive_add 0 media=c", ["drive_add 0 media=cdrom"]),
        ("device_add virtio-blk-p", ["device_add virtio-blk-pci"]),
        ("device_add virtio-blk-pci,drive=disk1",
            ["device_add virtio-blk-pci,drive=disk1"]),
        ("device_add virtio-blk-pci,drive=disk1,dri", []),
    ],
)  # fmt: skip
def test_the_menu(session: Session, line: str, expected: list[str]) -> None:
    assert offered(session, line) == expected


def rows() -> list[tuple[str, Command]]:
    commands = [(row.names[0], row) for row in COMMANDS if row.sub_table is None]
    return commands + [(f"info {row.names[0]}", row) for row in INFO]


@pytest.mark.parametrize(("name", "row"), rows(), ids=[name for name, _ in rows()])
def test_nothing_is_offered_that_the_monitor_would_refuse(
    session: Session, name: str, row: Command
) -> None:
    """Each word may be run as it stands, or the line can go on."""
    line = f"{name} "
    for parameter in row.parameters:
        for following in [*offered(session, line), *offered(session, line + "-")]:
            reading = read_line(session.monitor, following)
            assert not reading.fault or reading.is_unfinished, (following, reading.fault)
        if not isinstance(parameter, (Flag, FormatArgument)):
            words = [each for each in offered(session, line) if each[-1] not in "=/"]
            line = (words[0] if words else line + GOOD.get(parameter.kind[0], "on")) + " "


def test_each_command_and_topic_that_can_be_run_is_offered(session: Session) -> None:
    assert set(offered(session, "")) == {row.names[0] for row in COMMANDS if row.run}
    topics = {f"info {row.names[0]}" for row in INFO if row.run}
    assert set(offered(session, "info ")) == topics


def test_tags_say_date_size_and_where_they_are_not(session: Session) -> None:
    session('qemu-io disk1 "write 0 64k"')
    session("snapshot_blkdev_internal disk1 lonely")
    notes = {each.shown: each.note for each in suggest(session.monitor, "loadvm ")}
    assert "KiB" in notes["one"]
    assert notes["one"].startswith("20")
    assert notes["lonely"].endswith("only on disk1")
    assert "only" not in notes["one"]
    session("snapshot_delete_blkdev_internal disk1 lonely")


@given(st.text(min_size=1, max_size=20), st.integers(0, 20), st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tag_put_in_reads_back_as_itself(
    machine: TriedMachine, tag: str, typed: int, in_quotes: bool
) -> None:
    """Whatever the tag, and however much of it was typed."""
    from unittest.mock import patch

    import hmp.suggestion_sources

    tag = tag.replace("\0", "").encode("utf-8", "replace").decode() or "x"
    session = Session(machine)
    source = {("delvm", "name"): lambda _machine, _values: [(tag, "")]}
    with patch.object(hmp.suggestion_sources, "_SOURCES", source):
        whole = offered(session, "delvm ")
        assert len(whole) == 1
        # Part of the line as it would have been typed, up to any letter.
        start = whole[0][: len("delvm ") + typed]
        if in_quotes and not start[6:].startswith('"'):
            start = f'delvm "{tag[:typed]}'
            if any(letter in start[7:] for letter in '"\\'):
                start = 'delvm "'
        for line in [*whole, *offered(session, start)]:
            reading = read_line(session.monitor, line)
            assert reading.arguments == {"name": tag}, (line, reading.fault)


@given(st.text(alphabet=' "\\ab-/,=\tné', max_size=30))
@settings(max_examples=300)
def test_no_line_surprises_the_menu(line: str) -> None:
    session = Session(_SHARED)
    for each in suggest(session.monitor, line):
        assert 0 <= each.typed <= len(line)
        assert each.text
        assert "\n" not in each.note


_SHARED = TriedMachine("none", 0)
