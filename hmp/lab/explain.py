"""`%explain COMMAND`: what a command would do on this machine now, and nothing of it done."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.block_info import size_text
from hmp.reading import read_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hmp.monitor import Monitor
    from machine.machine import Machine
    from machine.rehearsal import Effect


def explain(monitor: Monitor, *, command: str) -> None:
    reading = read_line(monitor, command)
    if reading.fault:
        monitor.print_line(reading.fault)
        return
    steps = _STEPS.get(reading.name)
    if steps is None or reading.arguments is None:
        names = ", ".join(_STEPS)
        monitor.print_line(f"There is nothing to explain of it; there is of {names}.")
        return
    monitor.print_line(f"{command.strip()}, step by step; nothing of it is done yet.")
    number = 0
    try:
        for step in steps(monitor.machine, **reading.arguments):
            number += not step.startswith(" ")
            monitor.print_line(step if step.startswith(" ") else f"{number}. {step}")
    except QemuError as error:
        monitor.print_line(f"{number + 1}. It fails there: {error}")
        return
    question = _QUESTIONS[reading.name](monitor.machine)
    monitor.print_line(f"Before you run it: {question}")


# --- the steps


def _savevm(machine: Machine, *, name: str | None) -> Iterator[str]:
    from machine.rehearsal import Pages, rehearse_save
    from machine.snapshot import plan_save

    yield "Look at every disk that can be written: each must be able to keep snapshots."
    plan = plan_save(machine, name)
    yield from _disks([disk.shown for disk in plan.disks])
    effects = rehearse_save(machine, plan)
    if plan.replaced:
        yield "Delete the snapshots of the same tag; they are gone even if the rest fails."
        for disk, old in plan.replaced:
            yield f"   {disk.shown}: ID {old.id}, {size_text(old.vm_state_size)} of state"
    if machine.is_running:
        yield "Stop the machine, so that memory and disks are of one moment."
    pages = Pages(machine.memory)
    state = next(effect for effect in effects if effect.disk is plan.state_disk)
    yield f"Write the machine's state to {plan.state_disk.shown}, the first disk that can hold it."
    yield (
        f"   {size_text(state.state_bytes)}: {pages.total} pages of memory, {pages.zero} of them "
        "zero, and the devices"
    )
    yield "Make the snapshot on every disk."
    for effect in effects:
        assert effect.snapshot is not None, "a savevm makes one on each"
        kind = "with the state" if effect.state_bytes else "of the disk alone"
        yield f"   {effect.disk.shown}: ID {effect.snapshot.id}, {kind}; {_change(effect)}"
    if machine.is_running:
        yield "Let the machine run again."


def _loadvm(machine: Machine, *, name: str) -> Iterator[str]:
    from machine.rehearsal import rehearse_load
    from machine.snapshot import plan_load

    if machine.is_running:
        yield "Stop the machine; it stays stopped, as restore-vm, if the rest fails."
    yield "Look for the snapshot on every disk that can be written, by its tag."
    plan = plan_load(machine, name)
    yield from _disks([disk.shown for disk in plan.disks])
    yield "Put every disk back; each takes the name for an ID first, and only then for a tag."
    effects = rehearse_load(machine, plan)
    for effect in effects:
        assert effect.snapshot is not None, "the plan found one on each"
        found = f"ID {effect.snapshot.id}, tag '{effect.snapshot.name}'"
        yield f"   {effect.disk.shown}: {found}; {_change(effect)}"
    yield from _lost(machine)
    state = next(effect for effect in effects if effect.disk is plan.state_disk)
    yield (
        f"Load {size_text(state.state_bytes)} of state from {plan.state_disk.shown}: "
        "memory, devices, and the clock"
    )
    if machine.is_running:
        yield "Let the machine run again, since it runs now; what it did at savevm doesn't count."


def _delvm(machine: Machine, *, name: str) -> Iterator[str]:
    from machine.rehearsal import rehearse_delete
    from machine.snapshot import plan_delete

    yield "Look at every disk that can be written: each must be able to keep snapshots."
    plan = plan_delete(machine, name)
    effects = rehearse_delete(machine, plan)
    if not effects:
        yield f"No disk has a snapshot '{name}', and delvm says nothing of that."
        return
    yield "Delete it where it is. What the disk has now, and other snapshots, stay as they are."
    for effect in effects:
        assert effect.snapshot is not None, "the plan found one on each"
        yield f"   {effect.disk.shown}: ID {effect.snapshot.id}; {_change(effect)}"


def _disks(names: list[str]) -> Iterator[str]:
    yield f"   {', '.join(names)}"


def _lost(machine: Machine) -> Iterator[str]:
    head = machine.head
    if head is not None and head.is_there:
        yield (
            f"   Lost is what has changed since '{head.tag}': {head.pages_changed} pages, "
            f"{head.clusters_changed} clusters"
        )


def _change(effect: Effect) -> str:
    """What becomes of the image."""
    clusters = effect.clusters_taken
    verb = "takes" if clusters >= 0 else "frees"
    text = f"{verb} {abs(clusters)} cluster{'s' * (abs(clusters) != 1)}"
    if effect.growth:
        text += f", the file grows by {size_text(effect.growth)}"
    return f"{text}; {effect.barriers} barriers"


_STEPS: dict[str, Callable[..., Iterator[str]]] = {
    "savevm": _savevm,
    "loadvm": _loadvm,
    "delvm": _delvm,
}


# --- one question for each, to be answered by running it


def _ask_savevm(machine: Machine) -> str:
    if machine.is_running:
        return "what does `info status` say afterwards, and on which disk is the VM SIZE not 0 B?"
    return "does the machine run afterwards?"


def _ask_loadvm(machine: Machine) -> str:
    if machine.is_running:
        return "what will the VM clock say: more than now, or less?"
    return "does the machine run afterwards, if it ran when the snapshot was made?"


def _ask_delvm(machine: Machine) -> str:
    return "does the file get smaller?"


_QUESTIONS: dict[str, Callable[[Machine], str]] = {
    "savevm": _ask_savevm,
    "loadvm": _ask_loadvm,
    "delvm": _ask_delvm,
}
