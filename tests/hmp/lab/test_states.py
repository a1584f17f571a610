"""`%vmstate` and `%diff`: what snapshots hold, and where they differ."""

import re

from hmp.lab.diff import _field_lines
from machine.migration.values import NamedValue
from tests.hmp.lab.conftest import Lab


def test_the_fields_of_a_saved_machine(lab: Lab) -> None:
    lab("savevm a")
    text = lab("%vmstate a")
    assert "pages of ram: 512 zero, 0 data" in text
    assert re.search(r"^    cpu_clock_offset \(int64\): \d+$", text, re.MULTILINE)
    assert '"prelaunch" in 100 bytes' in text


def test_a_snapshot_without_state_has_no_fields(lab: Lab) -> None:
    lab("snapshot_blkdev_internal d1 alone")
    assert lab("%vmstate alone").startswith("Error: This is a disk-only snapshot.")
    assert lab("%vmstate nowhere") == (
        "Error: Snapshot 'nowhere' does not exist in one or more devices\n"
    )


def test_nothing_differs_from_itself(lab: Lab) -> None:
    lab("savevm a")
    assert lab("%diff a") == (
        "memory: 0 pages differ\n"
        "devices: 0 fields differ\n"
        "disk d0: nothing differs\n"
        "disk d1: nothing differs\n"
    )


def test_what_was_written_since_differs(lab: Lab) -> None:
    lab("savevm a")
    lab.machine.memory.write(0x3010, b"hello")
    lab('qemu-io d1 "write -q -P 1 1M 64k"')
    lab("savevm b")
    text = lab("%diff a b")
    assert text == (
        "memory: 1 page differs\n"
        "    page 3 of ram, at 0x3010\n"
        "      - 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................\n"
        "      + 68 65 6c 6c 6f 00 00 00 00 00 00 00 00 00 00 00  hello...........\n"
        "devices: 0 fields differ\n"
        "disk d0: nothing differs\n"
        "disk d1: 64 KiB differ in 1 range\n"
        "    0x100000-0x10ffff  64 KiB\n"
    )
    assert lab("%diff a").splitlines()[4:] == text.splitlines()[4:]


def test_fields_that_differ_have_their_names(lab: Lab) -> None:
    lab("savevm a")
    lab.machine.clock.set(5_000_000_000)
    assert re.search(r"timer/cpu_clock_offset: -?\d+ -> 5000000000$", lab("%diff a"), re.MULTILINE)
    lab("savevm b")
    assert "timer/cpu_clock_offset: 5000000000 -> " in lab("%diff b a")


def field_lines(a: object, b: object) -> list[str]:
    return list(_field_lines("x", NamedValue("uint8", a), NamedValue("uint8", b)))


def test_of_a_long_field_the_part_that_differs_is_shown() -> None:
    before, after = bytes(100), bytes(50) + b"\7" + bytes(49)
    assert field_lines(before, after) == [
        "    x, from byte 48 on",
        "      - 16 bytes, all zero",
        "      + 00 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00",
    ]
    assert field_lines([1, 2, 3], [1, 2, 4]) == ["    x[2]: 3 -> 4"]
    assert field_lines([1, 2], [1]) == ["    x[1]: 2 -> nothing"]
    assert list(_field_lines("x", None, NamedValue("bool", 1))) == ["    x: nothing -> true"]


def test_disks_are_compared_where_there_is_no_state(lab: Lab) -> None:
    lab("snapshot_blkdev_internal d1 alone")
    lab('qemu-io d1 "write -q -P 1 5k 512"')
    assert lab("%diff alone now") == (
        "memory, devices: 'alone' has no machine state, so there is nothing to compare\n"
        "disk d1: 512 B differ in 1 range\n"
        "    0x1400-0x15ff  512 B\n"
    )


def test_what_there_is_not_cannot_be_compared(lab: Lab) -> None:
    lab("savevm a")
    wanted = "Error: Snapshot 'b' does not exist in one or more devices\n"
    assert lab("%diff a b") == lab("%diff b") == wanted


def test_comparing_changes_nothing(lab: Lab) -> None:
    lab("savevm a")
    before = (lab.folder / "d0.qcow2").read_bytes()
    migration = lab("info migrate")
    lab("%diff a")
    assert lab("info migrate") == migration
    assert (lab.folder / "d0.qcow2").read_bytes() == before
    assert lab.machine.head is not None
    assert lab.machine.head.pages_changed == 0


def test_a_damaged_state_is_one_sentence(lab: Lab) -> None:
    lab("savevm a")
    image = lab.folder / "d0.qcow2"
    data = image.read_bytes()
    place = data.index(b"QEVM")
    image.write_bytes(data[:place] + b"MVEQ" + data[place + 4 :])
    assert lab("%vmstate a") == "Error: Not a migration stream\n"
    assert "so there is nothing to compare" in lab("%diff a")
