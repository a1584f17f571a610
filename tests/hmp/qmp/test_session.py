"""A session without any connection: bytes in, bytes out."""

import json
import time

import pytest

from blockdev.errors import QemuError
from hmp.qmp.commands import HANDLERS
from hmp.qmp.session import QUEUE_LIMIT, QmpSession
from machine.loop import Wakeup
from tests.hmp.trial import TriedMachine


class Client:
    """Who is at the other end of a session."""

    def __init__(self, machine: TriedMachine, *, negotiated: bool = True, **arguments) -> None:
        self.machine = machine
        self.bytes = b""
        self.is_held_back = False
        self.session = QmpSession(
            machine, self._take, pause=self._pause, resume=self._resume, **arguments
        )
        self.session.open()
        if negotiated:
            self.send({"execute": "qmp_capabilities"})
            self.messages()

    def _take(self, data: bytes) -> None:
        self.bytes += data

    def _pause(self) -> None:
        self.is_held_back = True

    def _resume(self) -> None:
        self.is_held_back = False

    def send(self, *messages) -> None:
        self.session.feed(b"".join(json.dumps(each).encode() for each in messages))

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.machine.loop.run_ready()

    def messages(self) -> list[dict]:
        """What came since the last time."""
        data, self.bytes = self.bytes, b""
        return [json.loads(line) for line in data.split(b"\r\n")[:-1]]

    def events(self) -> list[dict]:
        return [each for each in self.messages() if "event" in each]


@pytest.fixture
def machine() -> TriedMachine:
    return TriedMachine("none", 1 << 20)


@pytest.fixture
def client(machine: TriedMachine) -> Client:
    return Client(machine)


def test_the_greeting_tells_versions_and_capabilities(machine):
    client = Client(machine, negotiated=False)
    [greeting] = client.messages()
    assert greeting["QMP"]["capabilities"] == ["oob"]
    assert greeting["QMP"]["version"]["qemu"] == {"major": 7, "minor": 2, "micro": 0}


def test_nothing_runs_and_no_event_comes_before_the_negotiation(machine):
    client = Client(machine, negotiated=False)
    client.messages()
    machine.events.emit("POWERDOWN")
    client.send({"execute": "stop", "id": 1})
    [refusal] = client.messages()
    assert refusal["error"]["class"] == "CommandNotFound"
    assert "qmp_capabilities" in refusal["error"]["desc"]


def test_each_client_negotiates_anew(client, machine):
    client.session.close()
    machine.events.emit("POWERDOWN")
    client.session.open()
    client.send({"execute": "query-name"})
    greeting, refusal = client.messages()
    assert "QMP" in greeting
    assert refusal["error"]["class"] == "CommandNotFound"


def test_one_request_is_run_a_turn(client):
    client.send(*({"execute": "query-name", "id": number} for number in range(3)))
    assert [each["id"] for each in client.messages()] == [0]
    assert client.is_held_back
    client.turn()
    assert [each["id"] for each in client.messages()] == [1]
    client.turn()
    assert [each["id"] for each in client.messages()] == [2]
    assert not client.is_held_back


def test_a_mistake_in_a_text_is_told_in_its_turn(client):
    client.session.feed(b'{"execute": "query-name", "id": 1} @\n{"execute": "query-name", "id": 2}')
    client.turn(3)
    kinds = [next(key for key in each if key != "id") for each in client.messages()]
    assert kinds == ["return", "error", "return"]


def test_out_of_band_comes_first(machine, monkeypatch):
    wakeup = Wakeup()

    def wait(session):
        yield wakeup

    monkeypatch.setitem(HANDLERS, "query-name", wait)
    client = Client(machine, negotiated=False)
    client.send({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}})
    client.turn()
    client.messages()
    client.send({"execute": "query-name", "id": 1}, {"exec-oob": "query-yank", "id": 2})
    assert [each["id"] for each in client.messages()] == [2]
    client.send(*({"execute": "query-uuid", "id": 3} for _ in range(QUEUE_LIMIT)))
    assert client.is_held_back
    wakeup.wake()
    client.turn(QUEUE_LIMIT + 2)
    assert [each["id"] for each in client.messages()] == [1] + [3] * QUEUE_LIMIT
    assert not client.is_held_back


def test_reading_stops_at_the_request_that_fills_the_queue(machine, monkeypatch):
    wakeup = Wakeup()

    def wait(session):
        yield wakeup

    monkeypatch.setitem(HANDLERS, "query-name", wait)
    client = Client(machine)
    client.session.negotiate(has_oob=True)
    client.send({"execute": "query-name", "id": 0})
    client.send(
        *({"execute": "query-uuid", "id": number} for number in range(1, QUEUE_LIMIT + 2)),
        {"exec-oob": "query-yank", "id": "last"},
    )
    assert client.is_held_back
    assert client.messages() == []  # though it asks to be run at once: nobody has read it
    wakeup.wake()
    client.turn(QUEUE_LIMIT + 3)
    found = [each["id"] for each in client.messages()]
    assert sorted(map(str, found)) == sorted(map(str, [*range(QUEUE_LIMIT + 2), "last"]))
    assert found.index("last") > 0


def test_who_leaves_while_a_command_waits_is_not_answered(machine, monkeypatch):
    wakeup = Wakeup()

    def wait(session):
        yield wakeup

    monkeypatch.setitem(HANDLERS, "query-name", wait)
    client = Client(machine)
    client.send({"execute": "query-name"}, {"execute": "stop"})
    client.session.close()
    wakeup.wake()
    client.turn(3)
    assert client.messages() == []
    assert not client.is_held_back


def test_what_a_client_left_unanswered_is_not_the_next_ones(machine, monkeypatch):
    wakeup = Wakeup()

    def wait(session):
        yield wakeup

    monkeypatch.setitem(HANDLERS, "query-name", wait)
    client = Client(machine)
    client.send({"execute": "query-name", "id": "old"})
    client.session.close()
    client.session.open()
    wakeup.wake()
    client.turn(3)
    [greeting] = client.messages()
    assert "QMP" in greeting


def test_our_own_mistake_is_told_and_logged(client, machine, monkeypatch):
    def fail(session):
        raise ValueError("two\nlines")

    monkeypatch.setitem(HANDLERS, "query-name", fail)
    client.send({"execute": "query-name", "id": 1})
    [reply] = client.messages()
    assert reply["error"]["desc"] == "internal error: ValueError: two lines"
    assert len(machine.exceptions) == 1
    client.send({"execute": "query-uuid"})
    assert len(client.messages()) == 1


def test_a_disk_that_cannot_be_written_back_is_told(client, machine, monkeypatch):
    def refuse():
        raise QemuError("the disk is full")

    monkeypatch.setattr(machine, "settle", refuse)
    client.send({"execute": "query-name"})
    [reply] = client.messages()
    assert reply["error"] == {"class": "GenericError", "desc": "the disk is full"}


def test_arguments_may_be_many_and_deep(client):
    many = {f"a{number}": 1 for number in range(20_000)}
    client.send({"execute": "query-name", "arguments": many, "id": 1})
    nested: dict = {"driver": "raw", "node-name": "n"}
    for _ in range(500):
        nested = {"driver": "raw", "file": nested}
    client.send({"execute": "blockdev-add", "arguments": nested, "id": 2})
    client.turn(2)
    first, second = client.messages()
    assert first["error"]["desc"].endswith(" is unexpected")
    assert second["error"]["class"] == "GenericError"
    assert client.machine.exceptions == []


# --- events


def test_an_event_has_the_moment_and_what_it_tells(client, machine):
    machine.wall_clock_ns = lambda: 12_345_678_900
    machine.events.emit("DEVICE_TRAY_MOVED", device="d", id="i", tray_open=True)
    assert client.messages() == [
        {
            "timestamp": {"seconds": 12, "microseconds": 345678},
            "event": "DEVICE_TRAY_MOVED",
            "data": {"device": "d", "id": "i", "tray-open": True},
        }
    ]


def test_stopping_is_told_before_it_is_answered(client, machine):
    machine.cont()
    client.messages()
    client.send({"execute": "stop"})
    event, reply = client.messages()
    assert event["event"] == "STOP"
    assert reply == {"return": {}}


def test_migration_is_told_only_to_who_asked_for_it(client, machine):
    machine.events.emit("MIGRATION", status="setup")
    assert client.events() == []
    wanted = [{"capability": "events", "state": True}]
    client.send({"execute": "migrate-set-capabilities", "arguments": {"capabilities": wanted}})
    machine.events.emit("MIGRATION", status="setup")
    assert [each["data"] for each in client.events()] == [{"status": "setup"}]


def test_some_events_come_once_a_second_the_last_one_counts(client, machine, monkeypatch):
    now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    for offset in (1, 2, 3):
        machine.events.emit("RTC_CHANGE", offset=offset, qom_path="/rtc")
    assert [each["data"]["offset"] for each in client.events()] == [1]
    now += 1_000_000_000
    client.turn()
    assert [each["data"]["offset"] for each in client.events()] == [3]
    now += 1_000_000_000
    client.turn()
    assert client.events() == []
    machine.events.emit("RTC_CHANGE", offset=4, qom_path="/rtc")
    assert [each["data"]["offset"] for each in client.events()] == [4]


def test_ports_are_told_apart_when_events_are_held_back(client, machine):
    for port in ("a", "b", "a"):
        machine.events.emit("VSERPORT_CHANGE", id=port, open=True)
    assert [each["data"]["id"] for each in client.events()] == ["a", "b"]


def test_a_client_that_left_leaves_no_timer_and_no_listener(client, machine):
    machine.events.emit("RTC_CHANGE", offset=1, qom_path="/rtc")
    client.session.close()
    machine.events.emit("RTC_CHANGE", offset=2, qom_path="/rtc")
    assert machine.loop.next_deadline() is None
    assert client.events()[1:] == []
