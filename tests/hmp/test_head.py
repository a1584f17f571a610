from pathlib import Path

import pytest

from blockdev.qcow2.create import create_image
from machine.events import Event, Events
from tests.hmp.trial import Session, TriedMachine


@pytest.fixture
def session(tmp_path: Path) -> Session:
    machine = TriedMachine("none", 0)
    for name in ("d0", "d1"):
        create_image(f"{tmp_path}/{name}", 1 << 20)
        options = {"if": "none", "id": name, "file": f"{tmp_path}/{name}"}
        machine.drives.add(options, text="-drive", snapshot=False)
    return Session(machine)


def test_the_head_is_where_the_machine_was_saved_or_put_back(session: Session) -> None:
    machine = session.machine
    assert machine.head is None
    session("savevm a")
    assert machine.head is not None
    assert (machine.head.tag, machine.head.clusters_changed) == ("a", 0)
    session('qemu-io d0 "write 0 64k"')
    session('qemu-io d1 "write 60k 8k"')
    assert machine.head.clusters_changed == 3
    session("savevm b")
    assert (machine.head.tag, machine.head.clusters_changed) == ("b", 0)
    session('qemu-io d0 "write 0 64k"')
    session("loadvm a")
    assert (machine.head.tag, machine.head.clusters_changed) == ("a", 0)
    assert machine.head.is_there


def test_what_reads_or_fails_changes_nothing(session: Session) -> None:
    session("savevm a")
    head = session.machine.head
    assert head is not None
    session('qemu-io d0 "read 0 64k"')
    session('qemu-io d0 "write 2M 64k"')
    session("loadvm none")
    session("savevm")
    assert session.machine.head is not head, "a savevm without a tag makes one up"
    session("delvm none")
    assert session.machine.head is not None
    assert session.machine.head.clusters_changed == 0


def test_a_deleted_head_is_there_no_more(session: Session) -> None:
    session("savevm a")
    session("delvm a")
    assert session.machine.head is not None
    assert not session.machine.head.is_there


def test_an_old_head_looks_at_the_disks_no_longer(session: Session) -> None:
    for _ in range(3):
        session("savevm a")
    for _, node in session.machine.drives.root_nodes():
        assert len(node.dirty_bitmaps) == 1


def test_events_reach_whoever_listens_in_their_order() -> None:
    events = Events()
    heard: list[tuple[str, Event]] = []

    def first(event: Event) -> None:
        heard.append(("first", event))

    def once(event: Event) -> None:
        heard.append(("once", event))
        events.forget(once)

    events.emit("UNHEARD")
    events.listen(first)
    events.listen(once)
    events.emit("STOP")
    events.emit("BLOCK_JOB_ERROR", device="d0")
    events.forget(once)
    assert [(who, event.name, event.data) for who, event in heard] == [
        ("first", "STOP", {}),
        ("once", "STOP", {}),
        ("first", "BLOCK_JOB_ERROR", {"device": "d0"}),
    ]


def test_a_machine_says_when_it_stops_and_goes_on(session: Session) -> None:
    names: list[str] = []
    session.machine.events.listen(lambda event: names.append(event.name))
    for line in ("cont", "cont", "stop", "stop", "cont", "savevm a", "loadvm a", "stop"):
        session(line)
    # The state is saved as a migration would send it, and its steps are told too.
    names = [name for name in names if not name.startswith("MIGRATION")]
    assert names == ["RESUME", "STOP"] * 4
