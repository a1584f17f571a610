"""`%tree`: the notes of a session."""

import re

from tests.hmp.lab.conftest import Lab


def shape(text: str) -> list[str]:
    """The tree without times."""
    text = re.sub(r"  clock [\d:.]+", "", text)
    return re.sub(r"lost: .* time", "lost", text).splitlines()


def test_saving_goes_on_in_one_line(lab: Lab) -> None:
    assert shape(lab("%tree")) == ["o the session begins  <- HEAD"]
    lab("savevm a")
    lab("savevm b")
    assert shape(lab("%tree")) == [
        "o the session begins",
        "o a",
        "o b  <- HEAD, unchanged since",
    ]
    lab.machine.memory.write(0, b"x")
    lab('qemu-io d0 "write -q 0 64k"')
    assert shape(lab("%tree"))[-1] == "o b  <- HEAD, 1 page and 1 cluster changed since"


def test_going_back_makes_branches_and_losses(lab: Lab) -> None:
    lab("savevm a")
    lab("savevm b")
    lab.machine.memory.write(0, b"x")
    lab("loadvm a")
    lab("savevm c")
    lab("loadvm b")
    lab("savevm d")
    assert shape(lab("%tree")) == [
        "o the session begins",
        "o a",
        "|-o b",
        "| |-x lost, 1 changed page",
        "| o d  <- HEAD, unchanged since",
        "o c",
    ]


def test_a_snapshot_that_was_deleted_or_replaced_stays_as_gone(lab: Lab) -> None:
    lab("savevm a")
    lab("savevm b")
    lab("delvm a")
    lab("savevm b")
    assert shape(lab("%tree")) == [
        "o the session begins",
        "o a, not on the disks",
        "o b, not on the disks",
        "o b  <- HEAD, unchanged since",
    ]


def test_a_load_that_fails_is_not_noted(lab: Lab) -> None:
    lab("savevm a")
    before = lab("%tree")
    lab("loadvm nowhere")
    assert lab("%tree") == before


def test_snapshots_from_elsewhere_are_told_apart(lab: Lab) -> None:
    lab("savevm a")
    lab.machine._lineage = None  # as after a start with the same disks
    lab("snapshot_blkdev_internal d1 alone")
    assert shape(lab("%tree")) == [
        "o the session begins  <- HEAD, unchanged since",
        "Not in this tree, as the machine was neither saved nor put back to them here:",
        "  a on d0, d1",
        "  alone on d1",
    ]
    lab("loadvm a")
    assert "o a, from before this session  <- HEAD, unchanged since" in shape(lab("%tree"))


def test_a_thousand_snapshots_in_a_row_are_no_deep_tree(lab: Lab) -> None:
    lab("savevm a")
    for _ in range(1000):
        lab.machine.lineage.saved(lab.machine.drives.backends[0].medium().snapshots()[0])
    assert max(map(len, lab("%tree").splitlines())) < 80
