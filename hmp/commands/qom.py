"""Objects that stand beside the machine, and the tree of all objects."""

from __future__ import annotations

from hmp.command import Command, Completion
from hmp.commands.description import print_description
from hmp.commands.unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def complete_object(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], machine.object_ids() if len(words) == 1 else ())


def info_iothreads(monitor: Monitor) -> None:
    print_description(monitor, "iothreads")


COMMANDS = (
    Command(
        name="object_add",
        args_type="object:S",
        params="[qom-type=]type,id=str[,prop=value][,...]",
        help="create QOM object",
        run=unavailable,
    ),
    Command(
        name="object_del",
        args_type="id:s",
        params="id",
        help="destroy QOM object",
        run=unavailable,
        complete=complete_object,
    ),
    Command(
        name="qom-list",
        args_type="path:s?",
        params="path",
        help="list QOM properties",
        run=unavailable,
    ),
    Command(
        name="qom-get",
        args_type="path:s,property:s",
        params="path property",
        help="print QOM property",
        run=unavailable,
    ),
    Command(
        name="qom-set",
        args_type="json:-j,path:s,property:s,value:S",
        params="[-j] path property value",
        help=("set QOM property.\n\t\t\t-j: the value is specified in json format."),
        run=unavailable,
    ),
)

INFO = (
    Command(
        name="qom-tree",
        args_type="path:s?",
        params="[path]",
        help="show QOM composition tree",
        run=unavailable,
    ),
    Command(
        name="iothreads",
        args_type="",
        params="",
        help="show iothreads",
        run=info_iothreads,
    ),
)
