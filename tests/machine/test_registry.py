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
