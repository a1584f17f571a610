"""Streams of real machines, taken apart and put together again; damaged ones, refused."""

import json
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import CacheMode
from machine.memory import PAGE_SIZE
from machine.migration.decode import decode
from machine.migration.decode_ram import RamBody
from machine.migration.decode_source import BytesSource, Cursor, FileSource, snapshot_source
from machine.migration.decode_state import DecodedState
from machine.migration.ram_records import CONTINUE, EOS, PAGE, XBZRLE, ZERO
from machine.runstate import RunState
from tests.machine.machines import DIALECTS, MIB, PLAIN_OPTIONS, SavedMachine
from tests.machine.reference import incoming
from tests.machine.test_stream import be64

# Machines with their default devices; how many values their devices hold at the least.
MACHINES = {"none": 3, "isapc": 2000, "microvm": 450, "pc": 30_000, "q35": 50_000}


FULL_NAMES = {"pc": "pc-i440fx-", "q35": "pc-q35-"}


STOPPED = "-accel tcg -m 16 -S -display none -monitor stdio".split()


def run_qemu(qemu, folder, lines, options):
    """Let a stopped real machine with its default devices carry out some lines."""
    text = "".join(f"{line}\n" for line in [*lines, "quit"])
    command = [qemu, *STOPPED, *options]
    done = subprocess.run(command, cwd=folder, input=text.encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stdout


@pytest.fixture(scope="module")
def folder(qemu, qemu_img, tmp_path_factory):
    """Of each machine a migration (NAME.mig) and a snapshot `a` (NAME.qcow2)."""
    path = tmp_path_factory.mktemp("decode")
    for name in MACHINES:
        image = f"{name}.qcow2"
        subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", image, "1M"], cwd=path, check=True)
        drive = ["-M", name, "-drive", f"if=none,format=qcow2,file={image}"]
        run_qemu(qemu, path, ["savevm a", f'migrate "exec:cat > {name}.mig"'], drive)
    return path


def migrated(qemu, folder, *options, before=()):
    run_qemu(qemu, folder, [*before, 'migrate "exec:cat > out"'], options)
    return (folder / "out").read_bytes()


def migrated_unheard(qemu, folder, *options, before=()):
    """The stream of a machine that goes on waiting for an answer."""
    text = "".join(f"{line}\n" for line in [*before, 'migrate -d "exec:cat > out"'])
    out = folder / "out"
    command = [qemu, *STOPPED, *options]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        process.stdin.write(text.encode())
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while not out.exists() or not out.read_bytes().endswith(b"}]}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    return out.read_bytes()


def encoded(stream):
    return b"".join(stream.encode())


def decoded(data):
    """What is in a stream; that it gives the same bytes again is checked."""
    stream = decode(BytesSource(data))
    assert encoded(stream) == data
    return stream


def named_values(state):
    """The names in a decoded device, as deep as they go, with types and sizes."""

    def inside(value):
        if isinstance(value, DecodedState):
            return named_values(value)
        if isinstance(value, list):
            return [inside(each) for each in value if isinstance(each, DecodedState)][:1]
        return []

    return [
        (field.layout.name, field.layout.type, field.layout.size, inside(field.value))
        for field in state.fields
    ] + [(part.layout.name, part.version, named_values(part)) for part in state.subsections]


def described_values(description):
    """The same from the JSON, without the decoder."""

    def inside(field):
        part = field.get("struct", field)
        if "fields" not in part:
            return []
        values = described_values(part)
        return [values] if "array_len" in field else values

    return [
        (field["name"], field["type"], field["size"], inside(field))
        for field in description["fields"]
    ] + [
        (part["vmsd_name"], part["version"], described_values(part))
        for part in description.get("subsections", ())
    ]


# --- real streams


@pytest.mark.parametrize("machine", MACHINES)
def test_a_real_migration_is_decoded_to_the_last_field_and_byte(folder, machine):
    data = (folder / f"{machine}.mig").read_bytes()
    stream = decoded(data)
    assert (stream.size, stream.trailing) == (len(data), 0)
    assert stream.machine_name.startswith(
        {"pc": "pc-i440fx-", "q35": "pc-q35-"}.get(machine, machine)
    )
    devices = [section for section in stream.sections if section.type == 4]
    described = json.loads(stream.description)["devices"]
    assert [(each.name, each.instance_id) for each in devices] == [
        (each["name"], each["instance_id"]) for each in described
    ]
    for section, description in zip(devices, described, strict=True):
        assert named_values(section.body) == described_values(description)
    assert sum(section.body.count_values() for section in devices) > MACHINES[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_real_snapshot_is_decoded_out_of_its_image(folder, machine):
    graph = Graph(pytest.fail)
    try:
        node = graph.open_image(
            str(folder / f"{machine}.qcow2"), driver="qcow2", read_only=True, cache=CacheMode()
        )
        source, snapshot = snapshot_source(node, "a")
        assert (source.size, snapshot.name) == (snapshot.vm_state_size, "a")
        stream = decode(source)
        assert encoded(stream) == source.read(0, source.size)
        assert stream.trailing == 0
        migration = decode(BytesSource((folder / f"{machine}.mig").read_bytes()))
        names = [[s.name for s in each.sections if s.type == 4] for each in (stream, migration)]
        assert names[0] == names[1]
    finally:
        graph.close()


def test_values_are_those_that_the_machine_has(qemu, folder, tmp_path):
    content = tmp_path / "content"
    content.write_bytes(b"x" * (3 * PAGE_SIZE))
    loader = f"loader,file={content},addr={2 * PAGE_SIZE},force-raw=on"
    stream = decoded(migrated(qemu, tmp_path, "-M", "pc", "-device", loader))
    by_name = {section.name: section for section in stream.sections if section.type == 4}
    cpu = {field.layout.name: field.value for field in by_name["cpu"].body.fields}
    assert cpu["env.eip"] == 0xFFF0
    assert cpu["env.regs"][2] == 0x60FB1
    assert cpu["env.segs"][1].fields[0].value == 0xF000  # CS
    state = {field.layout.name: field.value for field in by_name["globalstate"].body.fields}
    assert state["runstate"].rstrip(b"\0") == b"prelaunch"
    start, *others = [section for section in stream.sections if section.name == "ram"]
    sizes = {entry.name: entry.size for entry in start.body.entries}
    assert sizes[b"pc.ram"] == 16 * MIB
    assert sum(sizes.values()) == start.body.total
    counts = [each.body.counts[b"pc.ram"] for each in others if b"pc.ram" in each.body.counts]
    assert sum(each.data for each in counts) == 3
    assert sum(each.zero for each in counts) == 16 * MIB // PAGE_SIZE - 3


SPECIAL = {
    "compressed pages": (["migrate_set_capability compress on"], ["-M", "pc"]),
    "block addresses": (
        ["migrate_set_capability x-ignore-shared on", "migrate_set_capability validate-uuid on"],
        ["-M", "isapc", "-uuid", "01234567-89ab-cdef-0123-456789abcdef"],
    ),
    "commands": (["migrate_set_capability postcopy-ram on"], ["-M", "none"]),
    "footers without a description": ([], ["-M", "isapc,suppress-vmdesc=on"]),
    "an old machine": ([], ["-M", "pc-i440fx-2.1"]),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_all_that_a_real_stream_can_have_is_decoded(qemu, tmp_path, name):
    before, options = SPECIAL[name]
    migrate = migrated_unheard if name == "commands" else migrated
    stream = decoded(migrate(qemu, tmp_path, *options, before=before))
    assert stream.trailing == 0
    kinds = {section.type for section in stream.sections}
    pages = [
        getattr(counts, kind)
        for section in stream.sections
        if isinstance(section.body, RamBody)
        for counts in section.body.counts.values()
        for kind in ("compressed", "zero")
    ]
    assert sum(pages) >= 4096
    if name == "compressed pages":
        assert any(pages[::2])
    if name == "block addresses":
        entry = stream.sections[0].body.entries[0]
        assert (entry.name, entry.address) == (b"pc.ram", 0)
        first, second = stream.configuration.subsections
        assert first.fields[1].value[1:] == b"x-ignore-shared"
        assert second.fields[0].value.hex() == "0123456789abcdef0123456789abcdef"
    assert (8 in kinds) == (name == "commands")
    assert stream.has_footers == (name != "an old machine")
    if stream.description is None:
        assert {s.name for s in stream.sections if isinstance(s.body, DecodedState)} >= {"timer"}


def test_without_a_description_the_same_sections_are_found(qemu, tmp_path):
    found = []
    for suppress in ("", ",suppress-vmdesc=on"):
        data = migrated(qemu, tmp_path, "-M", f"isapc{suppress}", *PLAIN_OPTIONS)
        stream = decoded(data)
        assert not stream.has_footers
        found.append([(section.name, section.size) for section in stream.sections])
    assert found[0] == found[1]


def test_the_disks_of_a_migration_are_counted(qemu, qemu_img, qemu_io, tmp_path):
    image = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", image, "4M"], check=True)
    subprocess.run([qemu_io, "-c", "write -q -P 7 1M 2M", image], check=True)
    drive = ["-M", "pc", "-drive", f"if=virtio,id=vd,format=qcow2,file={image}"]
    lines = ["migrate_set_capability zero-blocks on", 'migrate -b "exec:cat > out"']
    run_qemu(qemu, tmp_path, lines, drive)
    stream = decoded((tmp_path / "out").read_bytes())
    counts = [s.body.counts[b"vd"] for s in stream.sections if s.name == "block" and s.body.counts]
    assert [sum(numbers) for numbers in zip(*counts, strict=True)] == [2, 2]


def test_the_dirty_bitmaps_of_a_migration_are_counted(qemu, qemu_img, tmp_path):
    image = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", image, "4M"], check=True)
    subprocess.run([qemu_img, "bitmap", "--add", image, "b0"], check=True)
    drive = ["-M", "none", "-drive", f"if=none,id=d0,format=qcow2,file={image}"]
    lines = ['qemu-io d0 "write 1M 64k"', "migrate_set_capability dirty-bitmaps on"]
    run_qemu(qemu, tmp_path, [*lines, 'migrate "exec:cat > out"'], drive)
    stream = decoded((tmp_path / "out").read_bytes())
    counts = [s.body.counts for s in stream.sections if s.name == "dirty-bitmap" and s.body.counts]
    assert counts == [{b"d0/b0": (1, 0)}]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_our_own_streams_are_decoded(dialect):
    machine = SavedMachine(4 * MIB, DIALECTS[dialect])
    machine.ram.write(MIB, b"data" * 5000)
    data = machine.save(state=RunState.PAUSED)
    stream = decoded(data)
    assert stream.has_footers == (dialect == "modern")
    assert stream.machine_name == ("none" if dialect == "modern" else None)
    names = ["timer", "globalstate"] if dialect == "modern" else ["timer"]
    assert [section.name for section in stream.sections if section.type == 4] == names
    assert all(isinstance(section.body, RamBody | DecodedState) for section in stream.sections)
    counts = [s.body.counts.get(b"ram") for s in stream.sections if s.name == "ram"]
    assert sum(each.data for each in counts if each) == 5


def test_a_known_section_that_nothing_describes_may_have_subsections():
    data = SavedMachine(0, DIALECTS["plain"]).save()
    icount = b"\x05\x0ctimer/icount" + (1).to_bytes(4, "big") + be64(5) + be64(6)
    stream = decoded(data[:-1] + icount + data[-1:])
    (part,) = stream.sections[-1].body.subsections
    assert [(field.layout.name, field.value) for field in part.fields] == [
        ("qemu_icount_bias", 5),
        ("qemu_icount", 6),
    ]


def test_a_stream_without_devices_may_be_described_too():
    text = b'{"page_size": 4096, "devices": []}'
    stream = decoded(SMALL[:0x11] + b"\0\6" + len(text).to_bytes(4, "big") + text)
    assert (stream.description, stream.sections, stream.trailing) == (text, [], 0)


@pytest.mark.parametrize("size", [0, 100, 70_000, 1_000_000])
def test_sections_of_any_size_are_found_without_a_description(size):
    def section(number, name, footer):
        head = b"\4" + number.to_bytes(4, "big") + bytes([len(name)]) + name + bytes(8)
        return head + b"\1" * size + (b"\x7e" + number.to_bytes(4, "big") if footer else b"")

    for footer in (True, False):
        sections = [section(index, f"dev{index}".encode(), footer) for index in range(3)]
        stream = decoded(SMALL[:8] + b"".join(sections) + b"\0")
        assert [(each.name, each.size) for each in stream.sections] == [
            ("dev0", size),
            ("dev1", size),
            ("dev2", size),
        ]


def test_bytes_behind_the_stream_are_told_and_kept():
    data = SavedMachine(0).save()
    assert decoded(data + b"garbage").trailing == 7


# --- what a real machine says about a value that we changed

CHANGED = {
    "int32 equal": ("pc", "vmmouse", "queue_size", ["400 != 401"]),
    "uint8 equal": ("pc", "fdc", "num_floppies", ["2 != 3"]),
    "int32 le": ("pc", "0000:00:00.0/I440FX", "version_id", [
        "Invalid value 3 expecting positive value <= 2"]),
}  # fmt: skip


@pytest.mark.parametrize("type", CHANGED)
def test_our_words_for_a_wrong_value_are_qemus(qemu, folder, tmp_path, type):
    machine, section_name, field_name, words = CHANGED[type]
    stream = decode(BytesSource((folder / f"{machine}.mig").read_bytes()))

    def change(state):
        for field in state.fields:
            if field.layout.name == field_name:
                assert field.layout.type == type
                field.value += 1
                return True
            if isinstance(field.value, DecodedState) and change(field.value):
                return True
        return False

    assert any(change(s.body) for s in stream.sections if s.name == section_name)
    path = tmp_path / "changed"
    path.write_bytes(encoded(stream))
    done = subprocess.run(
        [qemu, *STOPPED, "-M", machine, "-incoming", f"exec:cat {path}"],
        capture_output=True,
        timeout=60,
    )
    lines = done.stderr.decode().replace("qemu-system-x86_64: ", "").splitlines()
    assert words[0] in lines
    place = lines.index(words[0])
    assert lines[place + 1].startswith("Failed to load ")
    assert lines[place + 1].endswith(f":{field_name}")


def test_a_changed_value_arrives(qemu, tmp_path):
    """What is put together again means to a real machine what was changed in it."""
    stream = decode(BytesSource(SavedMachine(MIB).save(state=RunState.RUNNING)))
    state = stream.sections[-1].body
    state.fields[0].value = 7
    state.fields[1].value = b"paused".ljust(100, b"\0")
    arrival = incoming(qemu, tmp_path, encoded(stream), ["-m", "1"])
    assert (arrival.reports, arrival.run_state) == ([], "paused")


# --- damage


def small_stream():
    machine = SavedMachine(MIB)
    machine.ram.write(0x3000, b"data")
    return machine.save()


SMALL = small_stream()


def outcome(data):
    """What decoding says: nothing, or one sentence; never anything else."""
    try:
        decoded(data)
    except QemuError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        return text
    return ""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_cut_at_any_byte_it_is_one_sentence(dialect):
    data = SavedMachine(MIB, DIALECTS[dialect]).save()
    end = data.index(b'{"page_size"') if dialect == "modern" else len(data)
    for size in range(len(data)):
        text = outcome(data[:size])
        # Without all of the description the rest is still what it is.
        assert bool(text) == (size < end - 5 if dialect == "modern" else size < end), size


def test_cut_in_the_middle_the_sentence_says_where():
    text = outcome(SMALL[:1000])
    assert text == "The stream ends at byte 1000, in RAM"


WORDS = {
    "empty": (b"", "Not a migration stream"),
    "magic": (b"QFI\xfb" + SMALL[4:], "Not a migration stream"),
    "version": (SMALL[:7] + b"\4" + SMALL[8:], "Unsupported migration stream version"),
    "old version": (SMALL[:7] + b"\2" + SMALL[8:],
        "SaveVM v2 format is obsolete and don't work anymore"),
    "section type": (SMALL[:0x11] + b"\x09" + SMALL[0x12:], "Unknown savevm section type 9"),
    "unknown part": (SMALL.replace(b"\3\0\0\0\2", b"\3\0\0\0\4d", 1),
        "Unknown savevm section 4"),
    "flags": (SMALL.replace(be64(EOS), be64(0x400), 1),
        "Unknown combination of migration flags: 0x400"),
    "footer": (SMALL.replace(b"\x7e\0\0\0\0", b"\x00\0\0\0\0", 1),
        "Missing section footer for timer"),
    "footer's id": (SMALL.replace(b"\x7e\0\0\0\0", b"\x7e\0\0\0\x63", 1),
        "Mismatched section id in footer for timer - read 0x63 expected 0x0"),
    "machine name": (SMALL.replace(b"\7\0\0\0\4none", b"\7\1\0\0\4none"),
        "A machine name of 16777220 bytes is too long"),
    "live section": (SMALL.replace(b"\3ram", b"\3rom", 1),
        "Section 'rom' is of a kind that isn't known"),
    "description": (SMALL.replace(b'"array_len"', b'"x"').replace(b'"version": 2', b'"version": x'),
        "The stream's description can't be used: it is no JSON"),
    "name": (SMALL.replace(b"\5timer", b"\5tomer"),
        "Section 'tomer' 0 is described as 'timer' 0"),
    "sizes": (SMALL.replace(b'"int64", "size": 8', b'"int64", "size": 9', 1),
        "Missing section footer for timer"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_damage_is_called_by_its_name(name):
    data, words = WORDS[name]
    assert outcome(data) == words


def described(fields):
    """A stream whose timer section is described so."""
    text = json.dumps(
        {
            "page_size": 4096,
            "devices": [
                {
                    "name": "timer",
                    "instance_id": 0,
                    "vmsd_name": "t",
                    "version": 2,
                    "fields": fields,
                }
            ],
        }
    ).encode()
    head = SMALL[:8] + b"\4\0\0\0\0\5timer" + bytes(8) + bytes(24) + b"\0\6"
    return head + len(text).to_bytes(4, "big") + text


def field(type="uint8", size=1, **more):
    return {"name": "x", **more, "type": type, "size": size}


def nested(depth, **more):
    inner = [field(size=24)]
    for _ in range(depth):
        struct = {"vmsd_name": "s", "version": 1, "fields": inner}
        inner = [field("struct", 24, struct=struct, **more)]
    return inner


DESCRIPTIONS = {
    "good": ([field(array_len=24)], ""),
    "odd sizes": ([field("uint32", 5), field("new", 19)], ""),
    "deep": (nested(20), ""),
    "too deep": (nested(40), "it is too deep"),
    "deeper than the stack": (nested(300), "it is too deep"),
    "too many": ([field(array_len=1 << 40)], "it has too many values"),
    "too many nothings": ([field(size=0, array_len=1 << 40)], "it has too many values"),
    "too many together": (
        [field("struct", 0, array_len=3000, struct={"vmsd_name": "s", "version": 1, "fields": [
            field(size=0, array_len=3000)]})], "it has too many values"),
    "negative": ([field(size=-1)], "'size' is no number that can be"),
    "no number": ([field(size="1")], "'size' is missing or of the wrong kind"),
    "true": ([field(size=True)], "'size' is no number that can be"),
    "a list": ([[]], "where 'name' should be is no object"),
    "name": ([{**field(), "name": "a\nb"}], "'name' has characters that no name has"),
}  # fmt: skip


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_is_believed_only_as_far_as_it_can_be(name):
    fields, words = DESCRIPTIONS[name]
    text = outcome(described(fields))
    assert text == (words and f"The stream's description can't be used: {words}")


def test_json_deeper_than_python_takes_is_one_sentence():
    text = b'{"page_size": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    data = described([field(array_len=24)])
    start = data.index(b'{"page_size"')
    data = data[: start - 4] + len(text).to_bytes(4, "big") + text
    assert outcome(data) == "The stream's description can't be used: it is no JSON"


def test_a_section_larger_than_sense_is_not_read(tmp_path):
    path = tmp_path / "stream"
    data = described([field("huge", 1 << 30)])
    start = data.index(b"\0\6")
    with open(path, "wb") as file:
        file.write(data[:start])
        file.truncate(2 << 30)
        file.seek(0, 2)
        file.write(data[start:])
    graph = Graph(pytest.fail)
    try:
        node = graph.open_file(str(path), read_only=True, cache=CacheMode())
        with pytest.raises(QemuError, match=r"1073741824 bytes of section 'timer' are too much"):
            decode(FileSource(node))
    finally:
        graph.close()


def test_elements_that_differ_from_the_first_stay_bytes():
    struct = {"vmsd_name": "s", "version": 1, "fields": [field("uint16", 2)]}
    stream = decoded(described([field("struct", 12, array_len=2, struct=struct)]))
    (values,) = stream.sections[0].body.fields
    assert values.value == [bytes(12), bytes(12)]


def test_queues_are_decoded_where_their_elements_are_alike():
    inside = {"vmsd_name": "s", "version": 1, "fields": [field()]}
    data = described([field("qtailq", 5, **inside), field("qtailq", 19, **inside)])
    body = data.index(b"timer") + 13
    stream = decoded(data[:body] + b"\1\7\1\x08\0" + data[body + 5 :])
    first, second = stream.sections[0].body.fields
    assert [part.fields[0].value for part in first.value] == [7, 8]
    assert second.value == bytes(19)


def test_many_false_descriptions_do_not_take_long():
    class Counting(BytesSource):
        reads = 0

        def read(self, offset, size):
            self.reads += 1
            return super().read(offset, size)

    source = Counting(SMALL + b'\0\6\0\0\0\x20{"page_size"' * 100_000)
    assert decode(source).description is None
    assert source.reads < 1000


# --- generated damage

RECORDS = st.one_of(
    st.builds(
        lambda page, flags, name, rest: (
            be64(page * PAGE_SIZE | flags) + bytes([len(name)]) + name + rest
        ),
        st.integers(0, 300),
        st.sampled_from([ZERO, PAGE, XBZRLE]),
        st.binary(max_size=3),
        st.sampled_from([b"\0", b"\1", b"\1\0\3abc", bytes(PAGE_SIZE)]),
    ),
    st.builds(
        lambda page, fills: b"".join(
            be64((page + index) * PAGE_SIZE | ZERO | CONTINUE) + bytes([fill])
            for index, fill in enumerate(fills)
        ),
        st.integers(0, 1 << 40),
        st.lists(st.integers(0, 1), max_size=9),
    ),
    st.builds(
        lambda page, count: b"".join(
            be64((page + index) * PAGE_SIZE | PAGE | CONTINUE) + bytes([index]) * PAGE_SIZE
            for index in range(count)
        ),
        st.integers(0, 1 << 40),
        st.integers(0, 3),
    ),
    st.just(b"\1\0\0\0\2\3ram" + bytes(8)),
)


@settings(max_examples=100)
@given(records=st.lists(RECORDS, max_size=6))
def test_any_records_of_memory_come_back_or_are_refused(records):
    body = b"".join(records) + be64(EOS)
    outcome(SMALL[:0x11] + b"\1\0\0\0\2\3ram" + bytes(8) + body + b"\x7e\0\0\0\2\0")


@settings(max_examples=150)
@given(data=st.data())
def test_any_damage_is_one_sentence_or_decodes_to_what_it_is(data, folder):
    stream = bytearray((folder / "isapc.mig").read_bytes())
    devices = stream.index(b"\x05timer") - 5
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 400) | st.integers(devices, max(devices, len(stream) - 1)))
        place = min(place, len(stream))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "end"]))
        if kind == "change":
            stream[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del stream[place : place + data.draw(st.integers(1, 9))]
        elif kind == "insert":
            stream[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del stream[place:]
    outcome(bytes(stream))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "name type size fields struct subsections vmsd_name version index array_len".split()
            ),
            inner,
            max_size=6,
        )
    ),
)


@settings(max_examples=150)
@given(fields=JSON)
def test_any_description_is_used_or_refused(fields):
    outcome(described(fields))


def test_a_cursor_goes_back_to_any_place():
    cursor = Cursor(BytesSource(bytes(range(100))))
    cursor.skip(50, "")
    assert cursor.take(2, "") == bytes([50, 51])
    cursor.position = 3
    assert cursor.peek(2) == bytes([3, 4])
    assert cursor.number(2, "") == 0x0304
