"""The lab: words that begin with `%`, which show what snapshots are made of.

QEMU knows none of them.  They are found where the lab is on, and `help` doesn't list them.
"""

from __future__ import annotations

from hmp.command import Command
from hmp.commands import COMMANDS
from hmp.commands.snapshot import complete_snapshot
from hmp.lab.diff import complete_two, diff
from hmp.lab.explain import complete_explain, explain
from hmp.lab.lesson import complete_lesson, lesson
from hmp.lab.map import map_
from hmp.lab.run import run
from hmp.lab.screen import screen
from hmp.lab.trace import trace
from hmp.lab.tree import tree
from hmp.lab.vmstate import vmstate
from hmp.lab.why import why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def help_(monitor: Monitor) -> None:
    for command in LAB:
        monitor.print_line(command.help_line())


LAB = (
    Command(
        name="%explain",
        args_type="command:S",
        params="command",
        help="what savevm, loadvm or delvm would do now",
        run=explain,
        complete=complete_explain,
    ),
    Command(
        name="%trace",
        args_type="option:b",
        params="on|off",
        help="the steps of savevm, loadvm and delvm as they happen",
        run=trace,
    ),
    Command(
        name="%map",
        args_type="device:B",
        params="device",
        help="whose each cluster is, and what deleting snapshots frees",
        run=map_,
    ),
    Command(
        name="%vmstate",
        args_type="name:s",
        params="tag",
        help="what a saved machine holds: sections, fields, values",
        run=vmstate,
        complete=complete_snapshot,
    ),
    Command(
        name="%diff",
        args_type="a:s,b:s?",
        params="tag [tag|now]",
        help="what differs: pages, fields, ranges of disks",
        run=diff,
        complete=complete_two,
    ),
    Command(
        name="%tree",
        args_type="",
        params="",
        help="which snapshot came from which, and what was lost",
        run=tree,
    ),
    Command(
        name="%why",
        args_type="",
        params="",
        help="what stands behind the last error, and what to try",
        run=why,
    ),
    Command(
        name="%screen",
        args_type="",
        params="",
        help="show the text that is on the guest's screen",
        run=screen,
    ),
    Command(
        name="%run",
        args_type="seconds:s",
        params="seconds",
        help="let the guest run, where --deterministic stops the clocks",
        run=run,
    ),
    Command(
        name="%lesson",
        args_type="action:s?,argument:s?",
        params="[number [folder]|text|check|hint|predict letter|end]",
        help="learn by doing",
        run=lesson,
        complete=complete_lesson,
    ),
    Command(
        name="%help",
        args_type="",
        params="",
        help="list the words of the lab",
        run=help_,
    ),
)

COMMANDS_WITH_LAB = COMMANDS.with_aside(LAB)
