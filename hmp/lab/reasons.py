"""Sentences that QEMU says, and what stands behind each, told with this machine's facts."""

from __future__ import annotations

import os
import re

from machine.snapshot import disks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.machine import Machine
    from machine.snapshot import Disk

    Explanation = Callable[..., Iterator[str]]


class Reason:
    """One sentence.

    Attributes:
        pattern: of the whole sentence; its groups go to `explain`.
        explain: takes the machine and the groups; gives lines: what was looked for, what was
            found, what to try.
    """

    __slots__ = ("explain", "pattern")

    def __init__(self, pattern: str, explain: Explanation) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)
        self.explain = explain


# --- savevm, loadvm, delvm


def _incapable(machine: Machine, name: str) -> Iterator[str]:
    yield "Looked at: every disk that can be written, as a snapshot is of all of them or of none."
    for disk in disks(machine):
        able = "keeps snapshots" if disk.node.has_snapshots else "does not keep snapshots"
        yield f"Found: {disk.shown} is {disk.node.driver}, which {able}."
        chip = machine.flash.chip_of(disk.node) if machine.has_flash else None
        if chip is not None and not disk.node.has_snapshots:
            yield (
                f"{disk.shown} is the flash chip {chip.block.name}: its drive counts as a disk, "
                "though only firmware writes there."
            )
            if disk.shown == name:
                yield (
                    "Try: qemu-img convert -O qcow2 FILE VARS.qcow2, and with that "
                    "if=pflash,format=qcow2,file=VARS.qcow2; or readonly=on, as for a chip with "
                    "code, but then the firmware can keep no settings."
                )
                return
    yield (
        f"Try: make {name} a qcow2 image (qemu-img convert -O qcow2), or open it with "
        "readonly=on; a disk that can't be written takes no part."
    )


def _no_state_disk(machine: Machine) -> Iterator[str]:
    yield "Looked for: a disk that can be written and keeps snapshots, to hold the machine's state."
    if not machine.drives.backends:
        yield "Found: no disk at all."
    for backend in machine.drives.backends:
        if backend.node is None:
            yield f"Found: {backend.name} is empty."
        elif backend.node.read_only:
            yield f"Found: {backend.name} can't be written."
        elif not backend.node.has_snapshots:
            yield f"Found: {backend.name} is {backend.node.driver}, which has no snapshots."
    yield "Try: a qcow2 disk: qemu-img create -f qcow2 FILE 1G, then -drive if=none,file=FILE."


def _missing(machine: Machine, tag: str) -> Iterator[str]:
    yield f"Looked for: a snapshot with the tag '{tag}' on every disk that can be written."
    yield from _who_has(machine, tag)
    by_id = [d for d in disks(machine) for s in d.node.snapshots() if s.id == tag]
    if by_id:
        yield f"'{tag}' is an ID on {by_id[0].shown}; loadvm and delvm go by tags alone."
    tags = sorted({s.name for disk in disks(machine) for s in disk.node.snapshots()})
    if len(tag.encode("utf-8", "surrogateescape")) > 255:
        yield "A tag is cut to 255 bytes when it is stored, so a longer one is never found again."
    yield (
        f"Try: one of the tags that there are: {', '.join(tags)}." if tags else "Try: savevm first."
    )


def _disk_only(machine: Machine) -> Iterator[str]:
    found = disks(machine)
    for disk in found[:1]:
        yield f"Looked at: the size of the machine's state on {disk.shown}, the first disk."
    yield "Found: 0 B. The sentence means that, whatever the other disks hold:"
    for disk in found:
        for snapshot in disk.node.snapshots():
            yield f"{disk.shown}: '{snapshot.name}' has {snapshot.vm_state_size} bytes of state."
    yield (
        "A snapshot made by qemu-img or snapshot_blkdev_internal has none. One made by savevm has "
        "it on the disk that was first then: give the drives in the order they had."
    )
    yield "Try: quit, then qemu-img snapshot -a TAG FILE for each disk."


def _bad_state(machine: Machine, number: str) -> Iterator[str]:
    yield "The disks are at the snapshot already; then the machine's state did not load."
    yield f"What did not fit stands in the lines before: error {number}, {_strerror(number)}."
    yield (
        "The machine must be as it was at savevm: the same -M, the same -m, the same devices. "
        f"This one is '{machine.board.name}' with {machine.ram_size >> 20} MiB."
    )
    yield (
        "Where a tag is also another snapshot's ID, the disk went to that one, whose state is "
        "another or none."
    )
    yield "Try: a machine that is made as the saved one was, then loadvm again."


def _cannot_go(machine: Machine, tag: str, disk: str, text: str) -> Iterator[str]:
    yield f"On {disk} the snapshot '{tag}' is in the table, but can't be gone to: {text}."
    yield "Disks before it are back already, this one and those behind it are not."
    yield "Try: qemu-img check on the file; the snapshot's own table is damaged."


def _cannot_delete(machine: Machine, tag: str, disk: str, text: str) -> Iterator[str]:
    yield f"On {disk} the snapshot '{tag}' stays: {text}."
    yield "On the disks before it, it is gone; info snapshots now calls it partial."
    yield "Try: qemu-img check on the file."


def _cannot_create(machine: Machine, tag: str, disk: str) -> Iterator[str]:
    yield f"{disk} refused; what the disks before it had got was taken back."
    yield "A snapshot of the same tag that was there before is gone: it is deleted first."
    yield from _room(machine)


def _not_written(machine: Machine, text: str) -> Iterator[str]:
    yield f"The machine's state could not be written: {text}. No snapshot was made."
    yield "A snapshot of the same tag that was there before is gone: it is deleted first."
    yield from _room(machine)


def _canceled(machine: Machine) -> Iterator[str]:
    yield "Given up with Ctrl-C: what it does first is done, the rest is undone or not begun."
    yield "savevm has then deleted snapshots of the same tag; loadvm may have put disks back."


def _unmigratable(machine: Machine, device: str) -> Iterator[str]:
    yield f"Looked at: every device, for one whose state can't be saved. Found: {device}."
    yield "Try: without that device; savevm, loadvm and migrate all need to save every device."


def _blocked(machine: Machine, feature: str, device: str) -> Iterator[str]:
    yield f"{device} says that it can't be saved with {feature}."
    yield "Try: without that device or feature."


def _format_blocks(machine: Machine, format: str, node: str) -> Iterator[str]:
    yield f"The node {node} is {format}, which keeps its own notes of the disk in memory."
    yield "Try: qemu-img convert -O qcow2."


# --- snapshots of one disk


def _no_device(machine: Machine, name: str) -> Iterator[str]:
    names = [backend.name for backend in machine.drives.backends if backend.name]
    yield f"Looked for: a drive or a node called '{name}'."
    yield f"Found: {', '.join(names) or 'no drive at all'}; info block -n shows the nodes."


def _exists(machine: Machine, tag: str, disk: str) -> Iterator[str]:
    yield f"{disk} has a snapshot '{tag}'. This command never replaces one, as savevm would."
    yield f"Try: another name, or snapshot_delete_blkdev_internal {disk} {tag} first."


def _no_such(machine: Machine, id: str, tag: str, disk: str) -> Iterator[str]:
    yield f"Looked for: a snapshot with the tag '{tag}'" + (
        "." if id == "null" else f" and the ID {id}, both."
    )
    yield from _who_has(machine, tag)


def _read_only(machine: Machine, disk: str) -> Iterator[str]:
    yield f"{disk} was opened so that it can't be written: readonly=on, or a CD."


def _nameless(machine: Machine) -> Iterator[str]:
    yield 'The name is "". savevm takes that, this command does not.'


def _not_root(machine: Machine) -> Iterator[str]:
    yield "The node is used by another one: as its file, or as its backing image."
    yield "Try: the node on top; info block -v shows what stands on what."


def _parameter_missing(machine: Machine, name: str) -> Iterator[str]:
    yield f"{name} may be left away as far as the line goes, but then there is nothing to do."


def _not_removable(machine: Machine, disk: str) -> Iterator[str]:
    yield f"{disk} is a fixed disk of a device; only CDs, floppies, and drives of no device open."


def _no_file(machine: Machine, name: str, text: str) -> Iterator[str]:
    yield f"Looked for: {os.path.abspath(name)}. {text}."


def _no_job(machine: Machine, name: str) -> Iterator[str]:
    yield f"No block job runs on '{name}' now; info block-jobs lists those that do."


def _locked(machine: Machine, kind: str) -> Iterator[str]:
    yield f"Another process has the image, and does not let others have it to {kind}."
    yield "It is noted in the file's own locks, which go when that process ends."
    yield "Try: quit the other; readonly=on here only helps if the other does not write."


# --- migration


def _bad_uri(machine: Machine) -> Iterator[str]:
    yield "Looked for: exec:COMMAND, fd:NAME, tcp:HOST:PORT, or unix:PATH."


def _not_incoming(machine: Machine) -> Iterator[str]:
    yield "A machine takes a stream only if it was started to wait for one."
    yield "Try: start it with -incoming defer, then migrate_incoming URI."


def _was_migrated(machine: Machine) -> Iterator[str]:
    yield "The machine's state went out before, so this one has ended; two must not run on."
    yield "Try: cont, which takes the disks back, if the other one does not run."


def _is_incoming(machine: Machine) -> Iterator[str]:
    yield "The machine waits for a stream, and has nothing of its own to save yet."


def _bad_value(machine: Machine, value: str) -> Iterator[str]:
    yield f"'{value}' is not among the words that may stand there; Tab shows them."


def _out_of_range(machine: Machine, name: str, what: str) -> Iterator[str]:
    yield f"{name} may only be {what}; info migrate_parameters shows what it is now."


def _outside(machine: Machine, value: str, name: str) -> Iterator[str]:
    yield f"{value} is more or less than {name} can be; info migrate_parameters shows what it is."


def _word_of(machine: Machine, name: str, value: str) -> Iterator[str]:
    yield f"'{value}' is none of the words that {name} takes; Tab shows them."


def _only_in_qmp(machine: Machine, name: str) -> Iterator[str]:
    yield f"What {name} takes is a list, for which the human monitor has no words; QMP has."


def _in_use(machine: Machine, name: str) -> Iterator[str]:
    yield f"Something else has '{name}': a device, a job, or an export. It must let go first."
    yield "Try: info block shows what a drive is attached to, info block-jobs what works on it."


def _no_drive(machine: Machine) -> Iterator[str]:
    yield "Found: the device is there, and has no drive of its own; a part of it may have one."
    yield "Try: the drive's own id, which info block shows."


def _no_medium(machine: Machine) -> Iterator[str]:
    yield "Found: the drive is there and is empty."
    yield "Try: change DRIVE FILE puts a medium in."


def _no_server(machine: Machine) -> Iterator[str]:
    yield "What is to be shared needs a server first: nbd_server_start."


def _bad_json(machine: Machine, *_: str) -> Iterator[str]:
    yield "What was given begins like JSON, and is not one whole object of JSON."


def _bad_kind(machine: Machine, name: str, kind: str) -> Iterator[str]:
    yield f"In JSON {name} must be of the kind {kind}: a string in quotes, a number without."


def _bad_address(machine: Machine, *_: str) -> Iterator[str]:
    yield "An address is HOST:PORT, [HOST]:PORT where the host has colons, or unix:PATH."


def _postcopy(machine: Machine) -> Iterator[str]:
    yield "This belongs to postcopy: a migration that goes on after the machine has moved."
    yield "Try: migrate_set_capability postcopy-ram on, before migrate."


# --- facts


def _who_has(machine: Machine, tag: str) -> Iterator[str]:
    for disk in disks(machine):
        yield f"Found: {disk.shown} {_has(disk, tag)}."


def _has(disk: Disk, tag: str) -> str:
    found = [snapshot for snapshot in disk.node.snapshots() if snapshot.name == tag]
    return f"has it, ID {found[0].id}" if found else "does not have it"


def _room(machine: Machine) -> Iterator[str]:
    for disk in disks(machine):
        folder = os.path.dirname(os.path.abspath(disk.node.filename))
        try:
            room = os.statvfs(folder)
        except OSError:
            continue
        free = room.f_bavail * room.f_frsize >> 20
        yield f"Found: {free} MiB free where {disk.shown} is."


def _strerror(number: str) -> str:
    return os.strerror(int(number))


REASONS = (
    Reason(r"Device '(.*)' is writable but does not support snapshots", _incapable),
    Reason(r"no block device can store vmstate for snapshot", _no_state_disk),
    Reason(r"Snapshot '(.*)' does not exist in one or more devices", _missing),
    Reason(r"This is a disk-only snapshot\. Revert to it  offline using qemu-img", _disk_only),
    Reason(r"Error -(\d+) while loading VM state", _bad_state),
    Reason(r"Could not load snapshot '(.*)' on '(.*?)': (.*)", _cannot_go),
    Reason(r"Could not delete snapshot '(.*)' on '(.*?)': (.*)", _cannot_delete),
    Reason(r"Could not create snapshot '(.*)' on '(.*?)'", _cannot_create),
    Reason(r"Error while writing VM state: (.*)", _not_written),
    Reason(r"Operation canceled", _canceled),
    Reason(r"State blocked by non-migratable device '(.*)'", _unmigratable),
    Reason(r"Migration is disabled when using feature '(.*)' in device '(.*)'", _blocked),
    Reason(r"The (.*) format used by node '(.*)' does not support live migration", _format_blocks),
    Reason(r"Cannot find device='.*' nor node-name='(.+)'", _no_device),
    Reason(r"Cannot find device='(.+)' nor node-name=''", _no_device),
    Reason(r"Device '(.*)' not found", _no_device),
    Reason(r"Snapshot with name '(.*)' already exists on device '(.*)'", _exists),
    Reason(r"Snapshot with id '(.*)' and name '(.*)' does not exist on device '(.*)'", _no_such),
    Reason(r"Device '(.*)' is read only", _read_only),
    Reason(r"Name is empty", _nameless),
    Reason(r"Need a root block node", _not_root),
    Reason(r"Parameter '(.*)' is missing", _parameter_missing),
    Reason(r"Device '(.*)' is not removable", _not_removable),
    Reason(r"Could not open '(.*)': (.*)", _no_file),
    Reason(r"Block job '(.*)' not found", _no_job),
    Reason(r"Failed to get (?:shared )?\"(.*)\" lock.*", _locked),
    Reason(r"Parameter 'uri' expects a valid migration protocol", _bad_uri),
    Reason(r"'-incoming' was not specified on the command line", _not_incoming),
    Reason(r"Can't migrate the vm that was paused due to previous migration", _was_migrated),
    Reason(r"Guest is waiting for an incoming migration", _is_incoming),
    Reason(r"invalid parameter value: (.*)", _bad_value),
    Reason(r"Invalid size (.*)", _bad_value),
    Reason(r"Parameter '(.*)' expects (.*)", _out_of_range),
    Reason(r"Value '(.*)' is out of range for parameter '(.*)'", _outside),
    Reason(r"Parameter '(.*)' does not accept value '(.*)'", _word_of),
    Reason(r"The (.*) parameter can only be set through QMP", _only_in_qmp),
    Reason(r"Device '(.*)' is in use", _in_use),
    Reason(r"Device does not have a block device backend", _no_drive),
    Reason(r"Device has no medium", _no_medium),
    Reason(r"NBD server not running", _no_server),
    Reason(r"JSON parse error, (.*)", _bad_json),
    Reason(r"Expecting at most one JSON value", _bad_json),
    Reason(r"Invalid parameter type for '(.*)', expected: (.*)", _bad_kind),
    Reason(r"error parsing (.*)", _bad_address),
    Reason(r"invalid Unix socket address", _bad_address),
    Reason(r"migrate-pause is currently only supported during postcopy-active state", _postcopy),
    Reason(r"Migrate recover can only be run when postcopy is paused\.", _postcopy),
    Reason(r"Enable postcopy with migrate_set_capability before the start of migration", _postcopy),
)
