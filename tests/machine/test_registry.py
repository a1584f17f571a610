import pytest

from blockdev.errors import QemuError
from machine.devices.timer import TIMER
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import UInt8
from machine.vmstate.registry import LiveState, Registry

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
    registry = Registry(only_migratable=True)
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
