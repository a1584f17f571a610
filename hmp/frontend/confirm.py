"""What is asked before a command that can't be taken back; only the rich front end asks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hmp.reading import Reading
    from hmp.settings import Settings
    from machine.machine import Machine


def question_before(machine: Machine, reading: Reading, settings: Settings) -> str:
    """What to ask before a line is run; empty where nothing needs to be asked."""
    ask = _QUESTIONS.get(reading.name)
    if ask is None or reading.arguments is None:
        return ""
    setting, question = ask
    return question(machine, **reading.arguments) if settings[setting] else ""


def _before_delvm(machine: Machine, *, name: str) -> str:
    holders = _holders(machine, name)
    return f"Delete snapshot '{name}' on {holders}?" if holders else ""


def _before_savevm(machine: Machine, *, name: str | None) -> str:
    holders = _holders(machine, name) if name is not None else ""
    return f"Replace snapshot '{name}' on {holders}?" if holders else ""


def _before_quit(machine: Machine) -> str:
    jobs = machine.job_names()
    return f"Quit while {', '.join(jobs)} is running?" if jobs else ""


def _holders(machine: Machine, tag: str) -> str:
    """The disks that have a snapshot of this tag; empty for none."""
    from blockdev.snapshot import find_by_name
    from machine.snapshot import disks

    return ", ".join(
        disk.shown for disk in disks(machine) if find_by_name(disk.node.snapshots(), tag)
    )


_QUESTIONS: dict[str, tuple[str, Callable[..., str]]] = {
    "delvm": ("confirm.delete", _before_delvm),
    "savevm": ("confirm.overwrite", _before_savevm),
    "quit": ("confirm.quit", _before_quit),
}
