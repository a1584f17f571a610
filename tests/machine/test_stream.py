import errno
import struct

import pytest

from blockdev.errors import QemuError
from machine.migration.qemufile import StreamError
from machine.migration.stream import Switches
from machine.runstate import RunState
from tests.machine.machines import (
    DIALECTS,
    MIB,
    MODERN,
    PLAIN,
    Bytes,
    Collecting,
    Dripping,
    Endless,
    Failing,
    SavedMachine,
)

HEADER = b"QEVM\0\0\0\3"
CONFIGURATION = b"\7\0\0\0\4none"


def be32(number):
    return struct.pack(">I", number)


def be64(number):
    return struct.pack(">Q", number)


def full(name, body, *, version, section_id=0, instance_id=0):
    """A FULL section with its footer."""
    header = b"\4" + be32(section_id) + bytes([len(name)]) + name
    return header + be32(instance_id) + be32(version) + body + b"\x7e" + be32(section_id)


def part(*records, section_id=2, kind=b"\2"):
    return kind + be32(section_id) + b"".join(records) + be64(0x10) + b"\x7e" + be32(section_id)


def ram_start(total=MIB, name=b"ram", length=MIB, version=4):
    blocks = bytes([len(name)]) + name + be64(length)
    body = be64(total | 4) + blocks + be64(0x10)
    head = b"\1" + be32(2) + b"\3ram" + be32(0) + be32(version)
    return head + body + b"\x7e" + be32(2)


def timer(version=2, body=bytes(24), **ids):
    return full(b"timer", body, version=version, **ids)


def global_state(name, version=1):
    return full(b"globalstate", be32(8) + name.ljust(100, b"\0"), version=version, section_id=4)


def command(number, data=b""):
    return b"\x08" + number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


START = HEADER + CONFIGURATION
EOF = b"\0"
NO_DESCRIPTION = "Expected vmdescription section, but got 0"
DEVICE_RAM = "error while loading state for instance 0x0 of device 'ram'"
DEVICE_TIMER = "error while loading state for instance 0x0 of device 'timer'"
DEVICE_GLOBALSTATE = "error while loading state for instance 0x0 of device 'globalstate'"
SECTION_RAM = "error while loading state section id 2(ram)"
MORE = (
    "Make sure that your current VM setup matches your saved VM setup, "
    "including any hotplugged devices"
)

# What a modern stream may look like, and what 7.2 makes of it: lines and errno, 0 for success.
# `test_stream_reference` holds all of these against the real one.
CASES = {
    "no stream": (b"garbage!", ["Not a migration stream"], errno.EINVAL),
    "one byte": (b"Q", ["Not a migration stream"], errno.EINVAL),
    "version 2": (
        b"QEVM\0\0\0\2",
        ["SaveVM v2 format is obsolete and don't work anymore"],
        errno.ENOTSUP,
    ),
    "version 4": (b"QEVM\0\0\0\4", ["Unsupported migration stream version"], errno.ENOTSUP),
    "cut version": (b"QEVM\0\0", ["Unsupported migration stream version"], errno.ENOTSUP),
    "no configuration": (HEADER + timer(), ["Configuration section missing"], errno.EINVAL),
    "cut configuration": (HEADER + b"\7\0\0", ["Failed to load configuration:len"], errno.EIO),
    "cut name": (HEADER + b"\7\0\0\0\4no", ["Failed to load configuration:name"], errno.EIO),
    "long name": (
        HEADER + b"\7\x10\0\0\0none",
        ["Failed to load configuration:name"],
        errno.EIO,
    ),
    "other machine": (
        HEADER + b"\7\0\0\0\2pc" + EOF,
        ["Machine type received is 'pc' and local is 'none'"],
        errno.EINVAL,
    ),
    "longer machine name": (
        HEADER + b"\7\0\0\0\5nonex" + EOF,
        ["Machine type received is 'nonex' and local is 'none'"],
        errno.EINVAL,
    ),
    "beginning of the machine's name": (HEADER + b"\7\0\0\0\2no" + EOF, [NO_DESCRIPTION], 0),
    "machine name with a zero": (HEADER + b"\7\0\0\0\6none\0x" + EOF, [NO_DESCRIPTION], 0),
    "unknown configuration": (
        START + b"\5\x11configuration/foo" + be32(1) + EOF,
        [],
        errno.ENOENT,
    ),
    "nothing inside": (START + EOF, [NO_DESCRIPTION], 0),
    "other description": (
        START + EOF + b"\x09",
        ["Expected vmdescription section, but got 9"],
        0,
    ),
    "cut description": (START + EOF + b"\6\0\1\0\0{", [], 0),
    "return path and ping": (START + command(1) + command(2, be32(7)) + EOF, [NO_DESCRIPTION], 0),
    "return path twice": (
        START + command(1) * 2 + EOF,
        ["CMD_OPEN_RETURN_PATH called when RP already open", NO_DESCRIPTION],
        0,
    ),
    "ping without a return path": (
        START + command(2, be32(0x12)),
        ["CMD_PING (0x12) received with no return path"],
        errno.EPERM,
    ),
    "command 0": (START + command(0), ["MIG_CMD 0x0 unknown (len 0x0)"], errno.EINVAL),
    "unknown command": (
        START + command(11, b"ab"),
        ["MIG_CMD 0xb unknown (len 0x2)"],
        errno.EINVAL,
    ),
    "long command": (
        START + command(1, b"x"),
        ["OPEN_RETURN_PATH received with bad length - expecting 0, got 1"],
        errno.ERANGE,
    ),
    "short ping": (
        START + command(2, b"xy"),
        ["PING received with bad length - expecting 4, got 2"],
        errno.ERANGE,
    ),
    "cut command": (START + command(2)[:4], [], errno.EIO),
    "advice of postcopy": (START + command(3) + EOF, [NO_DESCRIPTION], 0),
    "advice of postcopy of memory": (
        START + command(3, bytes(16)),
        ["RAM postcopy is disabled but have 16 byte advise"],
        errno.EINVAL,
    ),
    "advice of another size": (
        START + command(3, b"12345"),
        ["CMD_POSTCOPY_ADVISE invalid length (5)"],
        errno.EINVAL,
    ),
    "advice twice": (
        START + command(3) * 2,
        ["CMD_POSTCOPY_ADVISE in wrong postcopy state (1)"],
        errno.EPERM,
    ),
    "listen unadvised": (
        START + command(4),
        ["CMD_POSTCOPY_LISTEN in wrong postcopy state (0)"],
        errno.EPERM,
    ),
    "run unadvised": (
        START + command(5),
        ["CMD_POSTCOPY_RUN in wrong postcopy state (0)"],
        errno.EPERM,
    ),
    "run advised": (
        START + command(3) + command(5),
        ["CMD_POSTCOPY_RUN in wrong postcopy state (1)"],
        errno.EPERM,
    ),
    "discard unadvised": (
        START + command(6, b"abc"),
        ["CMD_POSTCOPY_RAM_DISCARD in wrong postcopy state (0)"],
        errno.EPERM,
    ),
    "unknown section": (
        START + full(b"tomer", bytes(24), version=2),
        [f"Unknown savevm section or instance 'tomer' 0. {MORE}"],
        errno.EINVAL,
    ),
    "unknown instance": (
        START + timer(instance_id=1),
        [f"Unknown savevm section or instance 'timer' 1. {MORE}"],
        errno.EINVAL,
    ),
    "instance of no alias": (START + timer(instance_id=0xFFFFFFFF) + EOF, [NO_DESCRIPTION], 0),
    "name with a zero": (
        START + full(b"timer\0x", bytes(24), version=2) + EOF,
        [NO_DESCRIPTION],
        0,
    ),
    "no name": (
        START + b"\4" + be32(3000000000) + b"\0",
        ["Unable to read ID string for section 3000000000"],
        errno.EINVAL,
    ),
    "newer section": (
        START + timer(3),
        ["savevm: unsupported version 3 for 'timer' v2"],
        errno.EINVAL,
    ),
    "newest section": (
        START + timer(0xFFFFFFFF),
        ["savevm: unsupported version -1 for 'timer' v2"],
        errno.EINVAL,
    ),
    "older section": (START + timer(1, bytes(16)) + EOF, [NO_DESCRIPTION], 0),
    "oldest section": (
        START + timer(0),
        [
            "timer: incoming version_id 0 is too old for local minimum version_id  1",
            DEVICE_TIMER,
        ],
        errno.EINVAL,
    ),
    "cut device": (
        START + timer()[:20],
        ["Failed to load timer:cpu_ticks_offset", DEVICE_TIMER],
        errno.EIO,
    ),
    "unknown subsection": (
        START + timer(body=bytes(24) + b"\5\x09timer/foo\0\0\0\1"),
        [DEVICE_TIMER],
        errno.ENOENT,
    ),
    "known subsection": (
        START + timer(body=bytes(24) + b"\5\x0ctimer/icount\0\0\0\1" + bytes(16)) + EOF,
        [NO_DESCRIPTION],
        0,
    ),
    "foreign subsection": (
        START + timer(body=bytes(24) + b"\5\7other/x\0\0\0\1"),
        ["Missing section footer for timer"],
        errno.EINVAL,
    ),
    "no footer": (
        START + timer()[:-5] + EOF * 5,
        ["Missing section footer for timer"],
        errno.EINVAL,
    ),
    "cut footer": (
        START + timer()[:-5],
        ["check_section_footer: Read section footer failed: -5"],
        errno.EINVAL,
    ),
    "other footer": (
        START + timer()[:-4] + be32(0x63) + EOF,
        ["Mismatched section id in footer for timer - read 0x63 expected 0x0"],
        errno.EINVAL,
    ),
    "no end": (START + timer(), [], errno.EIO),
    "unknown type": (START + b"\x09", ["Unknown savevm section type 9"], errno.EINVAL),
    "footer alone": (
        START + b"\x7e" + be32(0),
        ["Unknown savevm section type 126"],
        errno.EINVAL,
    ),
    "part of nothing": (
        START + part(section_id=77),
        ["Unknown savevm section 77"],
        errno.EINVAL,
    ),
    "part of less than nothing": (
        START + part(section_id=0xFFFFFFFF),
        ["Unknown savevm section -1"],
        errno.EINVAL,
    ),
    "cut part": (
        START + b"\2\0\0",
        ["qemu_loadvm_section_part_end: Failed to read section ID: -5"],
        errno.EIO,
    ),
    "cut section": (
        START + b"\4" + be32(0) + b"\5timer\0\0",
        ["qemu_loadvm_section_start_full: Failed to read instance/version ID: -5"],
        errno.EIO,
    ),
    # Before any section came, all devices have the id 0, and the first is found.
    "part before its start": (
        START + part(section_id=0),
        [
            "timer: incoming version_id 0 is too old for local minimum version_id  1",
            "error while loading state section id 0(timer)",
        ],
        errno.EINVAL,
    ),
    "bogus run state": (
        START + global_state(b"flying"),
        ["invalid parameter value: flying", DEVICE_GLOBALSTATE],
        errno.EINVAL,
    ),
    "endless run state": (
        START + global_state(b"x" * 100),
        [f"invalid parameter value: {'x' * 99}", DEVICE_GLOBALSTATE],
        errno.EINVAL,
    ),
    "run state of strange bytes": (
        START + global_state(b"\xffly"),
        ["invalid parameter value: \udcffly", DEVICE_GLOBALSTATE],
        errno.EINVAL,
    ),
    "sections twice, ids alike": (
        START + timer(section_id=5) + ram_start() + timer(section_id=5) + EOF,
        [NO_DESCRIPTION],
        0,
    ),
    "ram version": (START + ram_start(version=3), [DEVICE_RAM], errno.EINVAL),
    "ram size": (
        START + ram_start(length=2 * MIB),
        ["Size mismatch: ram: 0x200000 != 0x100000: Invalid argument", DEVICE_RAM],
        errno.EINVAL,
    ),
    "ram size rounded up": (
        START + ram_start(MIB, length=2 * MIB - 5),
        ["Size mismatch: ram: 0x200000 != 0x100000: Invalid argument", DEVICE_RAM],
        errno.EINVAL,
    ),
    "ram size past all": (
        START + ram_start(length=(1 << 64) - 1),
        ["Size mismatch: ram: 0x0 != 0x100000: Invalid argument", DEVICE_RAM],
        errno.EINVAL,
    ),
    "ram total too large": (
        START + ram_start(total=2 * MIB),
        ['Unknown ramblock "", cannot accept migration', DEVICE_RAM],
        errno.EINVAL,
    ),
    "unknown ram block": (
        START + ram_start(name=b"pc.ram"),
        ['Unknown ramblock "pc.ram", cannot accept migration', DEVICE_RAM],
        errno.EINVAL,
    ),
    "page of unknown block": (
        START + ram_start() + part(be64(8), b"\3rom", bytes(4096)),
        ["Can't find block rom", "Illegal RAM offset 0", SECTION_RAM],
        errno.EINVAL,
    ),
    "page of no block": (
        START + ram_start() + part(be64(0x28), bytes(4096)),
        ["Ack, bad migration stream!", "Illegal RAM offset 0", SECTION_RAM],
        errno.EINVAL,
    ),
    "page past the block": (
        START + ram_start() + part(be64(MIB | 8), b"\3ram", bytes(4096)),
        ["Illegal RAM offset 100000", SECTION_RAM],
        errno.EINVAL,
    ),
    "page past the block, continued": (
        START + ram_start() + part(be64(2), b"\3ram\0", be64(MIB | 0x22), b"\0"),
        ["Illegal RAM offset 100000", SECTION_RAM],
        errno.EINVAL,
    ),
    "unknown flag": (
        START + ram_start() + part(be64(0x400)),
        ["Unknown combination of migration flags: 0x400", SECTION_RAM],
        errno.EINVAL,
    ),
    "two flags": (
        START + ram_start() + part(be64(0x0A), b"\3ram"),
        ["Unknown combination of migration flags: 0xa", SECTION_RAM],
        errno.EINVAL,
    ),
    "compressed page": (
        START + ram_start() + part(be64(0x108), b"\3ram"),
        ["Received an unexpected compressed page", SECTION_RAM],
        errno.EINVAL,
    ),
    "hook": (START + ram_start() + part(be64(0x80)), [SECTION_RAM], errno.EINVAL),
    "runs of another kind": (
        START + ram_start() + part(be64(0x40), b"\3ram\2\0\0"),
        [
            "Failed to load XBZRLE page - wrong compression!",
            "Failed to decompress XBZRLE page at 0",
            SECTION_RAM,
        ],
        errno.EINVAL,
    ),
    "runs too long": (
        START + ram_start() + part(be64(0x1040), b"\3ram\1\x10\1"),
        [
            "Failed to load XBZRLE page - len overflow!",
            "Failed to decompress XBZRLE page at 1000",
            SECTION_RAM,
        ],
        errno.EINVAL,
    ),
    "runs without sense": (
        START + ram_start() + part(be64(0x40), b"\3ram\1\0\2\0\0"),
        [
            "Failed to load XBZRLE page - decode error!",
            "Failed to decompress XBZRLE page at 0",
            SECTION_RAM,
        ],
        errno.EINVAL,
    ),
    "cut between pages": (
        START + ram_start() + part(be64(2), b"\3ram\0")[:-13],
        ["Unknown combination of migration flags: 0x0", SECTION_RAM],
        errno.EINVAL,
    ),
    "cut page": (
        START + ram_start() + part(be64(8), b"\3ram", bytes(99))[:-13],
        [SECTION_RAM],
        errno.EIO,
    ),
    "end without part": (START + ram_start() + part(kind=b"\3") + EOF, [NO_DESCRIPTION], 0),
}


def outcome(stream, channel=Bytes, switches=MODERN, machine=None):
    """What loading reports, and its errno."""
    machine = machine or SavedMachine(MIB, switches)
    try:
        machine.load(channel(stream))
    except StreamError as failure:
        return machine.reports, failure.errno_value
    return machine.reports, 0


@pytest.mark.parametrize("name", CASES)
def test_a_stream_is_taken_or_refused_in_qemus_words(name):
    stream, reports, errno_value = CASES[name]
    assert outcome(stream) == (reports, errno_value)


@pytest.mark.parametrize("name", CASES)
def test_pieces_make_no_difference(name):
    stream, reports, errno_value = CASES[name]
    assert outcome(stream, lambda data: Dripping(data, 1)) == (reports, errno_value)


# --- sizes and bytes


def test_sizes_are_those_of_the_format_facts():
    assert len(SavedMachine(switches=PLAIN).save()) == 36991
    assert len(SavedMachine().save()) == 37645
    assert len(SavedMachine().save(state=RunState.PAUSED)) == 37645
    assert len(SavedMachine(0).save()) == 765


def test_the_modern_stream_has_the_bytes_of_the_format_facts():
    stream = SavedMachine().save()
    ram = b"\3ram" + be64(16 * MIB)
    records = [be64(page << 12 | 0x22) + b"\0" for page in range(1, 4096)]
    first = be64(0x02) + b"\3ram\0"
    expected = b"".join(
        [
            START,
            b"\1" + be32(2) + b"\3ram" + be32(0) + be32(4),
            be64(16 * MIB | 4) + ram + be64(0x10) + b"\x7e" + be32(2),
            part(first, *records),
            part(kind=b"\3"),
            timer(),
            global_state(b"running"),
            EOF,
            b"\6\0\0\1\xe6",
        ]
    )
    assert stream[: len(expected)] == expected
    assert stream[len(expected) :] == (
        b'{"page_size": 4096, "devices": [{"name": "timer", "instance_id": 0, '
        b'"vmsd_name": "timer", "version": 2, "fields": [{"name": "cpu_ticks_offset", '
        b'"type": "int64", "size": 8}, {"name": "unused", "type": "unused_buffer", "size": 8}, '
        b'{"name": "cpu_clock_offset", "type": "int64", "size": 8}]}, {"name": "globalstate", '
        b'"instance_id": 0, "vmsd_name": "globalstate", "version": 1, "fields": '
        b'[{"name": "size", "type": "uint32", "size": 4}, '
        b'{"name": "runstate", "type": "buffer", "size": 100}]}]}'
    )


def test_clock_and_run_state_travel_along():
    source, target = SavedMachine(), SavedMachine()
    source.clock.set(1234567890123)
    source.clock.cpu_ticks = -5
    target.load(source.save(state=RunState.GUEST_PANICKED))
    assert (target.clock.now_ns(), target.clock.cpu_ticks) == (1234567890123, -5)
    assert target.global_state.received
    assert target.global_state.state is RunState.GUEST_PANICKED


def test_an_old_timer_section_leaves_the_clock_alone():
    target = SavedMachine(MIB)
    target.clock.set(99)
    target.load(START + timer(1, be64(7) + bytes(8)) + EOF)
    assert (target.clock.now_ns(), target.clock.cpu_ticks) == (99, 7)


def test_a_machine_that_counts_instructions_says_so():
    source = SavedMachine(MIB)
    source.registry.find("timer", 0).device.icount_enabled = True
    source.registry.find("timer", 0).device.qemu_icount = 77
    target = SavedMachine(MIB)
    target.load(source.save())
    assert target.registry.find("timer", 0).device.qemu_icount == 77


def test_an_unusual_run_state_is_stored_even_if_the_usual_ones_are_not():
    sizes = {
        state: len(SavedMachine(switches=PLAIN).save(state=state))
        for state in (RunState.RUNNING, RunState.PAUSED, RunState.PRELAUNCH)
    }
    assert sizes[RunState.RUNNING] == sizes[RunState.PAUSED] == sizes[RunState.PRELAUNCH] - 129


# --- switches


@pytest.mark.parametrize(
    ("wanting", "stream_has", "report"),
    [
        ("send_configuration", False, "Configuration section missing"),
        ("send_configuration", True, "Unknown savevm section type 7"),
        ("send_section_footer", False, "Missing section footer for ram"),
        ("send_section_footer", True, "Unknown savevm section type 126"),
    ],
)
def test_the_switches_decide_what_must_be_there(wanting, stream_has, report):
    stream = SavedMachine(MIB, Switches(**{wanting: stream_has})).save()
    switches = Switches(**{wanting: not stream_has})
    assert outcome(stream, switches=switches) == ([report], errno.EINVAL)


def test_a_missing_description_or_run_state_is_no_failure():
    stream = SavedMachine(MIB, Switches(suppress_vmdesc=True, store_global_state=False)).save()
    machine = SavedMachine(MIB)
    assert outcome(stream, machine=machine) == ([NO_DESCRIPTION], 0)
    assert not machine.global_state.received
    assert outcome(SavedMachine(MIB).save(), switches=Switches(suppress_vmdesc=True)) == ([], 0)


# --- cut short, altered, and coming slowly


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_cut_anywhere_before_its_end_is_refused(dialect):
    switches = DIALECTS[dialect]
    machine = SavedMachine(MIB, switches)
    machine.ram.write(5 * 4096, b"x")
    stream = machine.save()
    end = stream.rindex(b"\6\0\0\1\xe6") if dialect == "modern" else len(stream)
    for size in range(end):
        if 200 < size < 6000 and size % 97:
            continue  # one record of a page is like the next
        _, errno_value = outcome(stream[:size], switches=switches)
        assert errno_value in (errno.EINVAL, errno.EIO, errno.ENOTSUP)
    for size in range(end, len(stream) + 1):
        assert outcome(stream[:size], switches=switches)[1] == 0


def test_zeros_after_a_cut_are_read_as_part_of_the_stream():
    stream = SavedMachine(MIB).save()
    end = stream.rindex(b"\6\0\0\1\xe6")
    assert outcome(stream[: end - 1], Endless) == ([NO_DESCRIPTION], 0)
    timer_start = stream.index(b"\5timer") + 6
    assert outcome(stream[: timer_start + 10], Endless) == (
        ["Missing section footer for timer"],
        errno.EINVAL,
    )
    assert outcome(b"", Endless) == (["Not a migration stream"], errno.EINVAL)


def test_a_single_altered_byte_never_does_more_than_refuse():
    machine = SavedMachine(MIB)
    machine.ram.write(255 * 4096, b"x")
    stream = machine.save()
    positions = [*range(60), *range(100, 2300, 97), *range(2350, 2400), *range(6450, len(stream))]
    for position in positions:
        for change in (0x01, 0x80, 0xFF):
            altered = bytearray(stream)
            altered[position] ^= change
            _, errno_value = outcome(altered)
            assert errno_value in (0, errno.EINVAL, errno.EIO, errno.ENOENT, errno.ENOTSUP)


def test_loading_waits_where_the_channel_has_nothing():
    machine = SavedMachine(MIB)
    machine.ram.write(4096, b"waiting")
    stream = machine.save()
    target = SavedMachine(MIB)
    steps = target.load(Dripping(stream, 7))
    assert steps.count(None) > 100
    assert target.content() == machine.content()
    assert target.reports == []


def test_a_length_of_gigabytes_takes_none():
    reports, errno_value = outcome(HEADER + b"\7\xff\xff\xff\xff" + b"none", Endless)
    assert (reports, errno_value) == (["Failed to load configuration:name"], errno.EIO)
    assert outcome(START + EOF + b"\6\xff\xff\xff\xff" + b"{}") == ([], 0)


# --- failing to write


@pytest.mark.parametrize("room", [0, 67, 10_000, 3 * MIB])
def test_a_failing_channel_ends_in_one_clear_error(room):
    machine = SavedMachine(4 * MIB)
    machine.ram.write(0, b"x" * 4 * MIB)
    with pytest.raises(QemuError) as failure:
        machine.save(Failing(room, OSError(errno.ENOSPC, "full")))
    assert str(failure.value) == "Error while writing VM state: Input/output error"
    assert failure.value.errno_value == errno.EIO
    said = ["failed to save SaveStateEntry with id(name): 2(ram): -5"]
    assert machine.reports == ([] if room == 0 else said)


def test_a_failure_at_the_very_end_counts_too():
    machine = SavedMachine(MIB)
    size = len(machine.save())
    with pytest.raises(QemuError, match="Error while writing VM state: Input/output error"):
        machine.save(Failing(size - 1, BrokenPipeError()))


def test_progress_is_told_in_bytes_of_memory():
    machine = SavedMachine(16 * MIB)
    channel = Collecting()
    _, saver = machine.saver(channel)
    saver.begin()
    assert saver.progress() == (0, 16 * MIB)
    saver.iterate()
    assert saver.progress() == (16 * MIB, 16 * MIB)
