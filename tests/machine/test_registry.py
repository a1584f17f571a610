import errno
import json

import pytest

from blockdev.errors import QemuError
from machine.devices.timer import TIMER
from machine.migration.qemufile import StreamError
from machine.vmstate.blockers import Blockers
from machine.vmstate.description import VMStateDescription
from machine.vmstate.entry import OldStyleState
from machine.vmstate.fields import UInt8
from machine.vmstate.registry import LiveState, Registry
from tests.machine.machines import DIALECTS, MODERN, SavedMachine

NIC = VMStateDescription(name="nic", version_id=3, fields=(UInt8("x"),))


def test_devices_of_one_name_count_their_instances():
    registry = Registry()
    entries = [registry.register(description, object()) for description in (NIC, TIMER, NIC)]
    assert [(e.name, e.instance_id, e.section_id) for e in entries] == [
        ("nic", 0, 0),
        ("timer", 0, 1),
        ("nic", 1, 2),
    ]
    assert entries[0].version_id == 3


def test_ids_may_be_given_and_the_next_ones_come_after_them():
    registry = Registry()
    registry.register(NIC, object(), instance_id=5, section_id=7)
    entry = registry.register(NIC, object())
    assert (entry.instance_id, entry.section_id) == (6, 8)


def test_a_device_that_goes_takes_its_entries_along():
    registry = Registry()
    first, second = object(), object()
    registry.register(NIC, first)
    registry.register(NIC, second)
    registry.unregister(first)
    assert [entry.instance_id for entry in registry.entries] == [1]
    registry.unregister(second)
    assert registry.register(NIC, first).instance_id == 0


def test_higher_priority_goes_first_and_equals_stay_in_order():
    registry = Registry()
    for number, priority in enumerate([0, 2, 0, 1, 2]):
        registry.register(NIC, object(), instance_id=number, priority=priority)
    assert [entry.instance_id for entry in registry.entries] == [1, 4, 3, 0, 2]


def test_entries_are_found_by_name_and_instance_or_alias():
    registry = Registry()
    nic = registry.register(NIC, object(), alias_id=9)
    ram = registry.register_live("ram", 4, LiveState())
    assert registry.find("nic", 0) is nic
    assert registry.find("nic", 9) is nic
    assert registry.find("nic", 1) is None
    assert registry.find("ram", 0) is ram
    assert registry.find("rom", 0) is None


def test_an_entry_is_found_by_the_id_that_the_stream_gave_it():
    registry = Registry()
    nic = registry.register(NIC, object())
    nic.load_section_id = 77
    assert registry.find_loading(77) is nic
    assert registry.find_loading(0) is None


# --- devices on a bus


def test_a_device_on_a_bus_is_told_by_its_path_and_found_by_the_names_of_old_streams():
    registry = Registry()
    first = registry.register(NIC, object(), path="0000:00:03.0")
    second = registry.register(NIC, object(), path="0000:00:04.0", alias_id=7)
    assert [(e.name, e.instance_id) for e in registry.entries] == [
        ("0000:00:03.0/nic", 0),
        ("0000:00:04.0/nic", 0),
    ]
    assert registry.find("0000:00:04.0/nic", 0) is second
    assert registry.find("0000:00:04.0/nic", 1) is None
    assert registry.find("nic", 0) is first
    assert registry.find("nic", 1) is second
    assert registry.find("nic", 7) is second
    assert registry.find("nic", 2) is None
    assert registry.find("", 0) is None


def test_an_instance_id_of_a_device_on_a_bus_is_that_of_old_streams():
    registry = Registry()
    entry = registry.register(NIC, object(), path="0000:00:03.0", instance_id=5)
    assert (entry.instance_id, entry.compat_instance_id) == (0, 5)
    assert registry.find("nic", 5) is entry


def test_a_path_that_the_stream_has_no_room_for_is_refused():
    registry = Registry()
    assert registry.register(NIC, object(), path="x" * 251).name == "x" * 251 + "/nic"
    with pytest.raises(QemuError) as refused:
        registry.register(NIC, object(), path="x" * 252)
    assert str(refused.value) == f"Path too long for VMState ({'x' * 252})"
    assert len(registry.entries) == 1


# --- what writes and reads itself


class Counter(OldStyleState):
    def __init__(self, value):
        self.value = value

    def save_state(self, file):
        file.put_be16(self.value)

    def load_state(self, file, version_id, report):
        value = file.get_be16() + (100 if version_id == 1 else 0)
        if value == 0xFFFF:
            report("too much")
            raise StreamError(errno.EINVAL)
        return lambda: setattr(self, "value", value)


def machine_with(counter, switches=MODERN):
    machine = SavedMachine(0, switches)
    machine.registry.register_old_style("counter", 2, counter)
    return machine


@pytest.mark.parametrize("dialect", DIALECTS)
def test_old_style_state_goes_out_and_comes_back(dialect):
    stream = machine_with(Counter(0x1234), DIALECTS[dialect]).save()
    assert b"\x07counter\0\0\0\0\0\0\0\2\x12\x34" in stream
    counter = Counter(0)
    machine_with(counter, DIALECTS[dialect]).load(stream)
    assert counter.value == 0x1234
    older = stream.replace(b"counter\0\0\0\0\0\0\0\2", b"counter\0\0\0\0\0\0\0\1")
    machine_with(counter, DIALECTS[dialect]).load(older)
    assert counter.value == 0x1234 + 100


def test_old_style_state_is_described_as_qemu_does():
    stream = machine_with(Counter(1)).save()
    described = json.loads(stream[stream.index(b'{"page_size"') :])
    entry = described["devices"][-1]
    assert list(entry.items()) == [
        ("name", "counter"),
        ("instance_id", 0),
        ("size", 2),
        ("fields", [{"name": "data", "size": 2, "type": "buffer"}]),
    ]
    assert list(entry["fields"][0]) == ["name", "size", "type"]


def test_old_style_state_that_cannot_be_changes_nothing():
    stream = machine_with(Counter(0xFFFF)).save()
    counter = Counter(7)
    machine = machine_with(counter)
    with pytest.raises(StreamError):
        machine.load(stream)
    assert machine.reports == [
        "too much",
        "error while loading state for instance 0x0 of device 'counter'",
    ]
    start = stream.index(b"counter") + 15
    for size in range(start, start + 7):
        with pytest.raises(StreamError):
            machine_with(counter).load(stream[:size])
    assert counter.value == 7


def test_old_style_state_goes_with_its_device():
    registry = Registry()
    device, counter = object(), Counter(1)
    registry.register_old_style("counter", 1, counter, device=device, path="usb")
    assert registry.find("counter", 0) is registry.find("usb/counter", 0) is not None
    registry.unregister(device)
    registry.register_old_style("counter", 1, counter)
    registry.unregister(counter)
    assert registry.entries == []


def test_what_is_saved_in_parts_is_told_how():
    told = []

    class Block(LiveState):
        def set_params(self, *, block, shared):
            told.append((block, shared))

    registry = Registry()
    registry.register(NIC, object())
    registry.register_live("ram", 4, LiveState())
    registry.register_live("block", 1, Block())
    registry.set_params(block=True, shared=False)
    assert told == [(True, False)]


# --- what can't be saved

UNMIGRATABLE = VMStateDescription(name="nvme", unmigratable=True)
IVSHMEM = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"


def refusal(registry):
    with pytest.raises(QemuError) as refused:
        registry.check_migratable()
    return str(refused.value)


def test_a_machine_without_blockers_may_be_saved():
    registry = Registry()
    registry.register(NIC, object())
    registry.check_migratable()
    assert registry.blocked_reasons() == []


def test_the_newest_blocker_is_the_reason_and_goes_alone():
    registry = Registry()
    registry.blockers.add("one")
    same, also = registry.blockers.add("two"), registry.blockers.add("two")
    assert refusal(registry) == "two"
    assert registry.blocked_reasons() == ["one", "two", "two"]
    registry.blockers.remove(also)
    assert refusal(registry) == "two"
    registry.blockers.remove(same)
    assert refusal(registry) == "one"


def test_a_device_that_cannot_be_saved_comes_before_any_blocker():
    registry = Registry()
    registry.blockers.add(IVSHMEM)
    first, second = object(), object()
    registry.register(UNMIGRATABLE, first)
    registry.register(UNMIGRATABLE, second)
    assert refusal(registry) == "State blocked by non-migratable device 'nvme'"
    registry.unregister(first)
    assert registry.blocked_reasons() == [IVSHMEM, "non-migratable device: nvme"]
    registry.unregister(second)
    assert refusal(registry) == IVSHMEM


def test_a_device_that_goes_takes_its_blockers_along():
    registry = Registry()
    device = object()
    registry.blockers.add("mine", device)
    registry.blockers.add("another's", object())
    registry.unregister(device)
    assert registry.blocked_reasons() == ["another's"]


def test_a_machine_that_must_stay_migratable_accepts_no_blocker():
    registry = Registry(blockers=Blockers(only_migratable=True))
    with pytest.raises(QemuError) as refused:
        registry.blockers.add(IVSHMEM)
    assert str(refused.value) == (
        f"disallowing migration blocker (--only-migratable) for: {IVSHMEM}"
    )
    with pytest.raises(QemuError) as refused:
        registry.blockers.check_device("nvme")
    assert str(refused.value) == (
        "Device nvme is not migratable, but --only-migratable was specified"
    )
    registry.check_migratable()


def test_it_is_too_late_for_a_blocker_once_the_machine_is_being_saved():
    registry = Registry()
    registry.blockers.check_device("nvme")
    registry.blockers.in_progress = True
    with pytest.raises(QemuError) as refused:
        registry.blockers.add(IVSHMEM)
    assert str(refused.value) == (
        f"disallowing migration blocker (migration/snapshot in progress) for: {IVSHMEM}"
    )
    registry.check_migratable()
