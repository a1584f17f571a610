"""`%tree`: which snapshot came from which, where the machine is, and what was lost on the way."""

from __future__ import annotations

from hmp.lab.wording import clock_text, counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hmp.monitor import Monitor
    from machine.lineage import Loss, Point
    from machine.machine import Machine
    from machine.snapshot import Disk


def tree(monitor: Monitor) -> None:
    for line in _lines(monitor.machine):
        monitor.print_line(line)


def _lines(machine: Machine) -> Iterator[str]:
    from machine.snapshot import disks

    found = disks(machine)
    lineage = machine.lineage
    yield from _lines_of(machine, lineage.beginning, found)
    for point in lineage.older:
        yield from _lines_of(machine, point, found)
    unknown: dict[str, list[str]] = {}
    for disk in found:
        for snapshot in disk.node.snapshots():
            if lineage.find(snapshot) is None:
                unknown.setdefault(snapshot.name, []).append(disk.shown)
    if unknown:
        yield "Not in this tree, as the machine was neither saved nor put back to them here:"
        for tag, names in unknown.items():
            yield f"  {tag} on {', '.join(names)}"


def _lines_of(machine: Machine, root: Point, disks: list[Disk]) -> Iterator[str]:
    """A point and what came after it; the last thing in the same column, others to the right."""
    from machine.lineage import Loss

    waiting: list[tuple[str, str, Point | Loss]] = [("", "", root)]
    while waiting:
        lead, column, each = waiting.pop()
        if isinstance(each, Loss):
            yield f"{lead}x {_loss_text(each)}"
            continue
        yield f"{lead}o {_point_text(machine, each, disks)}"
        following = [after for after in each.after if not isinstance(after, Loss)]
        main = following[-1] if following else None
        aside = [after for after in each.after if after is not main]
        if main is not None:
            waiting.append((column, column, main))
        for index, after in list(enumerate(aside))[::-1]:
            is_end = main is None and index == len(aside) - 1
            lead_of_branch = column + ("`-" if is_end else "|-")
            waiting.append((lead_of_branch, column + ("  " if is_end else "| "), after))


def _point_text(machine: Machine, point: Point, disks: list[Disk]) -> str:
    if not point.tag and point is machine.lineage.beginning:
        text = "the session begins"
    else:
        text = f"{point.tag}  clock {clock_text(point.clock_ns)}"
        if point.is_older:
            text += ", from before this session"
        if not point.is_on(disks):
            text += ", not on the disks"
    if point is machine.lineage.at:
        text += f"  <- HEAD{_since(machine)}"
    return text


def _since(machine: Machine) -> str:
    head = machine.head
    if head is None:
        return ""
    changes = [(head.pages_changed, "page"), (head.clusters_changed, "cluster")]
    text = " and ".join([counted(count, noun) for count, noun in changes if count])
    return f", {text} changed since" if text else ", unchanged since"


def _loss_text(loss: Loss) -> str:
    texts = [f"{loss.clock_ns / 1e9:.1f} s of the machine's time"]
    if loss.pages:
        texts.append(counted(loss.pages, "changed page"))
    if loss.clusters:
        texts.append(counted(loss.clusters, "changed cluster"))
    return f"lost: {', '.join(texts)}"
