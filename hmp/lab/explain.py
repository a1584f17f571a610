"""`%explain COMMAND`: what a command would do on this machine now, and nothing of it done."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.block_info import size_text
from hmp.lab.wording import counted, heading, subject, wrapped
from hmp.reading import read_line
from machine.identifiers import snapshot_names
from machine.steps import (
    DELETE,
    FIND,
    GO_BACK,
    LOAD_STATE,
    LOOK,
    MAKE,
    REPLACE,
    RESUME,
    STOP,
    WRITE_STATE,
    Step,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hmp.command import Completion
    from hmp.monitor import Monitor
    from machine.machine import Machine
    from machine.rehearsal import Effect
    from machine.snapshot import Disk

    Foretold = tuple[Step, str]  # a step, and what will come of it: a line, or none


def complete_explain(machine: Machine, words: Sequence[str]) -> Completion:
    """The command, and then its tag."""
    from hmp.command import Completion

    if len(words) == 1:
        return Completion.of(words[-1], EXPLAINED)
    return Completion.of(words[-1], snapshot_names(machine) if len(words) == 2 else ())


def explain(monitor: Monitor, *, command: str) -> None:
    reading = read_line(monitor, command)
    if reading.fault:
        monitor.print_line(reading.fault)
        return
    steps = EXPLAINED.get(reading.name)
    if steps is None or reading.arguments is None:
        names = ", ".join(EXPLAINED)
        monitor.print_line(f"There is nothing to explain of it; there is of {names}.")
        return
    monitor.print_line(f"{command.strip()}, step by step; nothing of it is done yet.")
    number, kind = 0, ""
    try:
        for step, detail in steps(monitor.machine, **reading.arguments):
            if step.kind != kind:
                number, kind = number + 1, step.kind
                monitor.print_line(f"{number}. {heading(step)}")
            for line in wrapped(detail, first="   ", then="     ") if detail else ():
                monitor.print_line(line)
    except QemuError as error:
        monitor.print_line(f"{number + 1}. It fails there: {error}")
        return
    question = _QUESTIONS[reading.name](monitor.machine)
    for line in wrapped(f"Before you run it: {question}"):
        monitor.print_line(line)


# --- the steps


def _savevm(machine: Machine, *, name: str | None) -> Iterator[Foretold]:
    from machine.rehearsal import Pages, rehearse_save
    from machine.snapshot import plan_save

    yield Step(LOOK), ""
    plan = plan_save(machine, name)
    yield Step(LOOK), _names(plan.disks)
    effects = rehearse_save(machine, plan)
    for disk, old in plan.replaced:
        step = Step(REPLACE, disk, old)
        yield step, subject(step).rstrip("; ")
    if machine.is_running:
        yield Step(STOP), ""
    pages = Pages(machine.memory)
    state = next(effect for effect in effects if effect.disk is plan.state_disk)
    yield (
        Step(WRITE_STATE, plan.state_disk),
        f"{size_text(state.state_bytes)}: {pages.total} pages of memory, {pages.zero} of them "
        "zero, and the devices",
    )
    yield from _effects(MAKE, effects)
    if machine.is_running:
        yield Step(RESUME), ""


def _loadvm(machine: Machine, *, name: str) -> Iterator[Foretold]:
    from machine.rehearsal import rehearse_load
    from machine.snapshot import plan_load

    if machine.is_running:
        yield Step(STOP), "it stays stopped, as restore-vm, if the rest fails"
    yield Step(FIND), ""
    plan = plan_load(machine, name)
    yield Step(FIND), _names(plan.disks)
    effects = rehearse_load(machine, plan)
    yield from _effects(GO_BACK, effects)
    if lost := _lost(machine):
        yield Step(GO_BACK), lost
    state = next(effect for effect in effects if effect.disk is plan.state_disk)
    yield Step(LOAD_STATE, plan.state_disk, state.snapshot), ""
    if machine.is_running:
        yield Step(RESUME), "since it runs now; what it did at savevm doesn't count"


def _delvm(machine: Machine, *, name: str) -> Iterator[Foretold]:
    from machine.rehearsal import rehearse_delete
    from machine.snapshot import plan_delete

    yield Step(LOOK), ""
    plan = plan_delete(machine, name)
    effects = rehearse_delete(machine, plan)
    if not effects:
        yield Step(LOOK), f"No disk has a snapshot '{name}', and delvm says nothing of that."
    yield from _effects(DELETE, effects)


def _names(disks: Sequence[Disk]) -> str:
    return ", ".join([disk.shown for disk in disks])


def _effects(kind: str, effects: Sequence[Effect]) -> Iterator[Foretold]:
    """The same step on one disk after the other."""
    for effect in effects:
        step = Step(kind, effect.disk, effect.snapshot)
        yield step, subject(step) + _change(effect)


def _lost(machine: Machine) -> str:
    head = machine.head
    if head is None or not head.is_there:
        return ""
    pages, clusters = counted(head.pages_changed, "page"), counted(head.clusters_changed, "cluster")
    return f"Lost is what has changed since '{head.tag}': {pages}, {clusters}"


def _change(effect: Effect) -> str:
    """What becomes of the image."""
    taken = effect.clusters_taken
    text = f"{'takes' if taken >= 0 else 'frees'} {counted(abs(taken), 'cluster')}"
    if effect.growth:
        text += f", the file grows by {size_text(effect.growth)}"
    return f"{text}; {counted(effect.barriers, 'barrier')}"


EXPLAINED: dict[str, Callable[..., Iterator[Foretold]]] = {
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
