"""The values that a parameter may have on this machine now, each with a word about it."""

from __future__ import annotations

import os
import time

from hmp.arguments import BlockDevice, FileName, Options, Switch, file_names
from hmp.block_info import size_text
from machine.identifiers import netdev_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hmp.arguments import Argument
    from hmp.command import Command
    from hmp.monitor import Monitor
    from machine.machine import Machine

    Value = tuple[str, str]  # what may stand there, and a note
    # Takes the machine, and the values of the parameters before.
    Source = Callable[[Machine, Sequence[str]], Iterable[Value]]


def find_values(
    monitor: Monitor,
    name: str,
    command: Command,
    parameter: Argument,
    values: Sequence[str],
    word: str,
) -> tuple[str, Iterable[Value]]:
    """What may stand for a parameter.

    Args:
        monitor: on which machine.
        name: the command's, after those whose topic it is.
        command: its row, for what Tab offers.
        parameter: which of its parameters.
        values: those of the parameters before.
        word: what was typed of this one.

    Returns:
        The part of `word` that counts, its end, and the values with their notes; also such as
        don't begin with that part.
    """
    machine = monitor.machine
    if isinstance(parameter, Options) or (name, parameter.name) in _OPTION_LISTS:
        return _option(machine, command, values, word)
    source = _SOURCES.get((name, parameter.name)) or _SOURCES.get(("", parameter.name))
    if source is not None:
        separator = _SEPARATORS.get((name, parameter.name), "")
        typed = word.rpartition(separator)[2] if separator else word
        return typed, source(machine, values)
    if isinstance(parameter, BlockDevice):
        return word, block_devices(machine, values)
    if isinstance(parameter, FileName) or parameter.name in _FILES:
        return word, _files(word)
    if isinstance(parameter, Switch):
        return word, (("on", ""), ("off", ""))
    if command.complete is not None:
        completion = command.complete(machine, [*values, word])
        in_bytes = word.encode("utf-8", "surrogateescape")
        end = in_bytes[len(in_bytes) - completion.typed_size :].decode("utf-8", "surrogateescape")
        return end, [(text, "") for text in completion.candidates]
    return word, [(text, "") for text in parameter.complete(word, machine)]


# --- sources


def block_devices(machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    """The drives, each with its node, file and format."""
    for backend in machine.drives.backends:
        if backend.name:
            node = backend.node
            note = f"{node.node_name}: {node.filename} ({node.driver})" if node else "no medium"
            yield backend.name, note


def devices_and_nodes(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """The drives, and the nodes by their names."""
    yield from block_devices(machine, values)
    for node in machine.graph.nodes.values():
        if not node.node_name.startswith("#"):
            yield node.node_name, f"node: {node.filename} ({node.driver})"


def devices_or_all(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    yield from block_devices(machine, values)
    yield "all", "every drive"


def tags(machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    """The snapshots of all disks by tag, each with date, size, and where it isn't on all."""
    from machine.snapshot import disks

    found = disks(machine)
    notes: dict[str, tuple[str, list[str]]] = {}
    for disk in found:
        for snapshot in disk.node.snapshots():
            if snapshot.name not in notes:
                date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.date_sec))
                notes[snapshot.name] = (f"{date}  {size_text(snapshot.vm_state_size)}", [])
            notes[snapshot.name][1].append(disk.shown)
    for tag, (note, holders) in notes.items():
        where = "" if len(set(holders)) == len(found) else f"  only on {', '.join(holders)}"
        yield tag, note + where


def tags_or_now(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """Tags, and the machine as it is."""
    yield "now", "the machine and its disks as they are"
    yield from tags(machine, values)


def explained(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """The commands that can be explained, and their tags."""
    from hmp.lab.explain import EXPLAINED

    if not values:
        yield from ((name, "") for name in EXPLAINED)
    elif len(values) == 1:
        yield from tags(machine, values)


def lesson_actions(_machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    """The lessons by number, and what can be done in one."""
    from hmp.lab.curriculum import lesson_files, read_lesson

    for number, name in lesson_files():
        yield str(number), read_lesson(number, name).title
    yield "text", "tell it again"
    yield "check", "which goals are met"
    yield "hint", "help a little"
    yield "predict", "answer the question: a, b or c"
    yield "end", "give the machine its own disks back"


def lesson_arguments(_machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """The letters of a prediction."""
    if values[-1:] == ["predict"]:
        yield from (("a", ""), ("b", ""), ("c", ""))


def tags_of_device(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """The snapshots of the one disk named before."""
    backend = machine.drives.backend(values[0]) if values else None
    node = backend.node if backend else machine.graph.find(values[0]) if values else None
    for snapshot in node.snapshots() if node else ():
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.date_sec))
        yield snapshot.name, f"{date}  ID {snapshot.id}"


def ids_of_device(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """The IDs of the snapshots of a disk that have the tag named last."""
    backend = machine.drives.backend(values[0]) if values else None
    for snapshot in backend.node.snapshots() if backend and backend.node else ():
        if snapshot.name == values[-1]:
            yield snapshot.id, snapshot.name


def io_commands(_machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    """What `qemu-io` understands."""
    from hmp.tools.io import COMMANDS

    for command in COMMANDS:
        yield command.name, command.help


def parameter_values(machine: Machine, values: Sequence[str]) -> Iterator[Value]:
    """What the migration parameter named before may be; of a number, what it is now."""
    from machine.migration.parameters import BY_NAME, COMPRESSIONS

    row = BY_NAME.get(values[0]) if values else None
    if row is None:
        return
    now = machine.migration.parameters.typed(row)
    choices = {"bool": _ON_OFF, "compression": COMPRESSIONS}.get(row.kind, (now,) if now else ())
    for choice in choices:
        yield choice, "as it is now" if choice == now else ""


def buses(machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    """Where a device may be plugged in while the machine is there."""
    for bus in machine.buses:
        if bus.is_hotpluggable:
            yield (
                bus.name,
                f"of {bus.owner.id or bus.owner.model.name}" if bus.owner else "of the board",
            )


def log_items(_machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    from machine.log import ITEMS

    yield "none", "remove all logs"
    for name, text in ITEMS:
        yield name, " ".join(text.split())


def processors(machine: Machine, _values: Sequence[str]) -> Iterator[Value]:
    for cpu in machine.cpus:
        yield str(cpu.index), "processor"


def _words(*values: str) -> Source:
    """The same few words on every machine."""
    return lambda _machine, _values: ((value, "") for value in values)


def _files(word: str) -> Iterator[Value]:
    for path in file_names(word):
        yield path, "" if path.endswith("/") else _size_of(path)


def _size_of(path: str) -> str:
    try:
        return size_text(os.stat(path).st_size)
    except OSError:
        return ""


# --- lists of options


def _option(
    machine: Machine, command: Command, values: Sequence[str], word: str
) -> tuple[str, Iterable[Value]]:
    """A key, or a value, of the last option in a list."""
    start = _start_of_last_option(word)
    before, part = word[:start].removesuffix(","), word[start:]
    key, equals, value = part.partition("=")
    if equals:
        if (command.names[0], key) in _OPTION_VALUES:
            return value, ((each, "") for each in _OPTION_VALUES[command.names[0], key])
        if key in ("drive", "node-name"):
            return value, devices_and_nodes(machine, values)
        if key in ("file", "filename", "path"):
            found = _files(value.replace(",,", ","))
            return value, ((path.replace(",", ",,"), note) for path, note in found)
        if key == "bus":
            return value, buses(machine, values)
        if key == "netdev":
            return value, ((each, "") for each in netdev_ids(machine))
        if key == "chardev":
            return value, ((chardev.label, chardev.filename) for chardev in machine.chardevs)
        return value, ()
    kind = before.partition(",")[0].partition("=")[2] or before.partition(",")[0]
    if not before and command.names[0] != "drive_add":
        return part, _kinds(machine, command)
    given = {each.partition("=")[0] for each in before.split(",")}
    keys = _properties(command.names[0], kind)
    return part, ((f"{each}=", "") for each in keys if each not in given)


def _start_of_last_option(word: str) -> int:
    """Where it begins; two commas are one in a value."""
    start = position = 0
    while (position := word.find(",", position)) >= 0:
        if word[position + 1 : position + 2] == ",":
            position += 2
        else:
            start = position = position + 1
    return start


def _kinds(machine: Machine, command: Command) -> Iterator[Value]:
    """What may stand first in a list of options: the models, types or drivers there are."""
    name = command.names[0]
    if name == "device_add":
        from machine.devices.models import simulated_models

        for model in simulated_models().values():
            yield model.name, f"for bus {model.bus}" if model.bus else ""
    elif command.complete is not None:
        for text in command.complete(machine, [""]).candidates:
            yield text, ""


def _properties(command: str, kind: str) -> Iterable[str]:
    """The keys that a list of options may have besides the first."""
    if command == "device_add":
        from machine.devices.models import find_model, full_name

        model = find_model(full_name(kind))
        return sorted(model.properties - {"driver"}) if model else ("id",)
    if command == "drive_add":
        return ("if", "id", "file", "format", "media", "cache", "readonly", "snapshot", "index")
    return ("id",)


_OPTION_LISTS = frozenset(
    (("object_add", "object"), ("chardev-add", "args"), ("drive_add", "opts"))
)

_FORMATS = ("qcow2", "raw")
_ON_OFF = ("on", "off")
_OPTION_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("drive_add", "if"): ("none",),
    ("drive_add", "format"): _FORMATS,
    ("drive_add", "media"): ("disk", "cdrom"),
    ("drive_add", "readonly"): _ON_OFF,
    ("drive_add", "snapshot"): _ON_OFF,
    ("drive_add", "cache"): ("writeback", "writethrough", "none", "directsync", "unsafe"),
}
# Names of files, of commands for which QEMU's own Tab doesn't know that.
_FILES = frozenset(("filename", "snapshot-file", "target"))
_SOURCES: dict[tuple[str, str], Source] = {
    ("loadvm", "name"): tags,
    ("delvm", "name"): tags,
    ("savevm", "name"): tags,
    ("%vmstate", "name"): tags,
    ("%explain", "command"): explained,
    ("%diff", "a"): tags,
    ("%lesson", "action"): lesson_actions,
    ("%lesson", "argument"): lesson_arguments,
    ("%diff", "b"): tags_or_now,
    ("snapshot_blkdev_internal", "name"): tags_of_device,
    ("snapshot_delete_blkdev_internal", "name"): tags_of_device,
    ("snapshot_delete_blkdev_internal", "id"): ids_of_device,
    ("qemu-io", "device"): devices_and_nodes,
    ("qemu-io", "command"): io_commands,
    ("log", "items"): log_items,
    ("migrate_set_parameter", "value"): parameter_values,
    ("drive_del", "id"): block_devices,
    ("change", "arg"): _words(*_FORMATS),
    ("change", "read-only-mode"): _words("retain", "read-only", "read-write"),
    ("", "format"): _words(*_FORMATS),
    ("screendump", "format"): _words("ppm", "png"),
    ("cpu", "index"): processors,
    ("singlestep", "option"): _words(*_ON_OFF),
    ("sync-profile", "op"): _words("on", "off", "reset"),
    ("commit", "device"): devices_or_all,
    ("info registers", "vcpu"): processors,
    ("migrate", "uri"): _words("exec:", "fd:", "tcp:", "unix:"),
    ("migrate_incoming", "uri"): _words("exec:", "fd:", "tcp:", "unix:"),
    ("migrate_recover", "uri"): _words("tcp:", "unix:"),
    ("boot_set", "bootdevice"): _words("a", "c", "d", "n"),
}
# Of some words only the part behind the last such letter counts.
_SEPARATORS = {("log", "items"): ","}
