"""`%why`: what stands behind the last error: what was looked for, what was found, what to try."""

from __future__ import annotations

from hmp.lab.wording import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def why(monitor: Monitor) -> None:
    from hmp.lab.reasons import REASONS

    failure = monitor.failure
    if failure is None:
        monitor.print_line("No command has failed yet.")
        return
    monitor.print_line(f"{failure.name} failed: {failure.text}")
    sentences = ["That sentence is all there is to it."]
    for reason in REASONS:
        match = reason.pattern.fullmatch(failure.text)
        if match:
            sentences = list(reason.explain(monitor.machine, *match.groups()))
            break
    for sentence in [*sentences, f"Now: {_standing(monitor)}."]:
        for line in wrapped(sentence, first="- "):
            monitor.print_line(line)


def _standing(monitor: Monitor) -> str:
    """How the machine is after the error."""
    machine = monitor.machine
    text = f"the machine is {machine.status_text()}"
    if machine.status_text() == "paused (restore-vm)":
        text += "; loadvm stopped it and left it so, cont lets it run on"
    if machine.head is not None and machine.head.is_there:
        text += f"; it was last saved to or put back to '{machine.head.tag}'"
    return text
