"""Objects that stand beside the machine, and the tree of all objects."""

from __future__ import annotations

from hmp.command import Command, Completion
from hmp.commands.description import print_description
from machine.identifiers import object_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


_HELP_WORDS = ("help", "?")


def complete_object(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], object_ids(machine) if len(words) == 1 else ())


def object_add(monitor: Monitor, *, object: str) -> None:
    from hmp.qmp.json_parser import parse_object
    from machine.keyval import parse_keyval
    from machine.qom.objects import source_of
    from machine.qom.types import TYPES

    objects = monitor.machine.objects
    first, comma, rest = object.partition(",")
    kind = first.removeprefix("qom-type=")
    wants_help = comma and set(rest.split(",")) & set(_HELP_WORDS)
    if first in _HELP_WORDS or (wants_help and kind not in TYPES):
        monitor.print_line("List of user creatable objects:")
        _print_lines(monitor, objects.describe_types())
    elif wants_help:
        lines = objects.describe_type(kind)
        none = f"There are no options for {kind}."
        monitor.print_line(f"{kind} options:" if lines else none)
        _print_lines(monitor, lines)
    elif object.startswith("{"):
        objects.add(parse_object(object), source_of(object))
    else:
        objects.add(parse_keyval(object, "qom-type"), source_of(object))


def object_del(monitor: Monitor, *, id: str) -> None:
    monitor.machine.objects.delete(id)


def _print_lines(monitor: Monitor, lines: Sequence[str]) -> None:
    for line in lines:
        monitor.print_line(line)


def qom_list(monitor: Monitor, *, path: str | None) -> None:
    """The properties at a path; without one, where the tree begins."""
    from machine.qom.tree import properties

    if path is None:
        monitor.print_line("/")
    else:
        for name, kind in properties(monitor.machine, path):
            monitor.print_line(f"{name} ({kind})")


def qom_get(monitor: Monitor, *, path: str, property: str) -> None:
    from hmp.tools.json_text import json_text
    from machine.qom.tree import get_property

    monitor.print_line(json_text(get_property(monitor.machine, path, property)))


def qom_set(monitor: Monitor, *, json: bool, path: str, property: str, value: str) -> None:
    from machine.qom.tree import set_property, set_value

    if json:
        from hmp.qmp.json_parser import parse_text

        set_value(monitor.machine, path, property, parse_text(value))
    else:
        set_property(monitor.machine, path, property, value)


def info_qom_tree(monitor: Monitor, *, path: str | None) -> None:
    """The tree of all objects, or of those under a path."""
    from machine.qom.composition import compose

    part = compose(monitor.machine).root.find("/machine" if path is None else path)
    if part is None:
        monitor.print_line(f"Path '{path}' could not be resolved.")
        return
    for line in part.lines():
        monitor.print_line(line)


def info_iothreads(monitor: Monitor) -> None:
    print_description(monitor, "iothreads")


COMMANDS = (
    Command(
        name="object_add",
        args_type="object:S",
        params="[qom-type=]type,id=str[,prop=value][,...]",
        help="create QOM object",
        run=object_add,
    ),
    Command(
        name="object_del",
        args_type="id:s",
        params="id",
        help="destroy QOM object",
        run=object_del,
        complete=complete_object,
    ),
    Command(
        name="qom-list",
        args_type="path:s?",
        params="path",
        help="list QOM properties",
        run=qom_list,
    ),
    Command(
        name="qom-get",
        args_type="path:s,property:s",
        params="path property",
        help="print QOM property",
        run=qom_get,
    ),
    Command(
        name="qom-set",
        args_type="json:-j,path:s,property:s,value:S",
        params="[-j] path property value",
        help=("set QOM property.\n\t\t\t-j: the value is specified in json format."),
        run=qom_set,
    ),
)

INFO = (
    Command(
        name="qom-tree",
        args_type="path:s?",
        params="[path]",
        help="show QOM composition tree",
        run=info_qom_tree,
    ),
    Command(
        name="iothreads",
        args_type="",
        params="",
        help="show iothreads",
        run=info_iothreads,
    ),
)
