"""Network cards and what they are connected to."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.description import print_description
from machine.identifiers import link_names, netdev_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def complete_netdev(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], netdev_ids(machine) if len(words) == 1 else ())


def complete_link(machine: Machine, words: Sequence[str]) -> Completion:
    """`set_link` takes back ends and network cards; cards are known by their device's ID."""
    if len(words) == 1:
        return Completion.of(words[0], link_names(machine))
    return Completion.of(words[-1], ("on", "off") if len(words) == 2 else ())


def netdev_add(monitor: Monitor, *, netdev: dict[str, str]) -> None:
    from machine.net.options import HELP, add_netdev

    if netdev.get("type") in ("help", "?"):
        monitor.print_line("Available netdev backend types:")
        for name in HELP:
            monitor.print_line(name)
        return
    add_netdev(monitor.machine, netdev)


def netdev_del(monitor: Monitor, *, id: str) -> None:
    from machine.net.options import delete_netdev

    delete_netdev(monitor.machine, id)


def set_link(monitor: Monitor, *, name: str, up: bool) -> None:
    monitor.machine.network.set_link(name, up)


def hostfwd_add(monitor: Monitor, *, arg1: str, arg2: str | None) -> None:
    from machine.net.user import find_user

    name, rule = (None, arg1) if arg2 is None else (arg1, arg2)
    found = find_user(monitor.machine.network, name)
    try:
        if isinstance(found, str):
            raise QemuError(found)
        found.add_forward(rule)
    except QemuError as error:
        monitor.print_line(str(error))


def hostfwd_remove(monitor: Monitor, *, arg1: str, arg2: str | None) -> None:
    from machine.net.user import find_user, remove_forward

    name, place = (None, arg1) if arg2 is None else (arg1, arg2)
    found = find_user(monitor.machine.network, name)
    monitor.print_line(found if isinstance(found, str) else remove_forward(found, place))


def announce_self(monitor: Monitor, *, interfaces: str | None, id: str | None) -> None:
    from machine.migration.announce import announce

    names = None if interfaces is None else interfaces.split(",")
    parameters = monitor.machine.migration.announce_parameters
    announce(monitor.machine, parameters, names, id or "")


def info_network(monitor: Monitor) -> None:
    print_description(monitor, "network")


def info_usernet(monitor: Monitor) -> None:
    print_description(monitor, "usernet")


def info_rocker(monitor: Monitor, *, name: str) -> None:
    _no_rocker(name)


def info_rocker_ports(monitor: Monitor, *, name: str) -> None:
    _no_rocker(name)


def info_rocker_of_dpa_flows(monitor: Monitor, *, name: str, tbl_id: int | None) -> None:
    _no_rocker(name)


def info_rocker_of_dpa_groups(monitor: Monitor, *, name: str, type: int | None) -> None:
    _no_rocker(name)


def _no_rocker(name: str) -> None:
    """No machine of ours has a rocker switch."""
    raise QemuError(f"rocker {name} not found")


COMMANDS = (
    Command(
        name="netdev_add",
        args_type="netdev:O",
        params="[user|tap|socket|stream|dgram|vde|bridge|hubport|netmap|vhost-user],id=str[,prop=value][,...]",
        help="add host network device",
        run=netdev_add,
    ),
    Command(
        name="netdev_del",
        args_type="id:s",
        params="id",
        help="remove host network device",
        run=netdev_del,
        complete=complete_netdev,
    ),
    Command(
        name="set_link",
        args_type="name:s,up:b",
        params="name on|off",
        help="change the link status of a network adapter",
        run=set_link,
        complete=complete_link,
    ),
    Command(
        name="hostfwd_add",
        args_type="arg1:s,arg2:s?",
        params="[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport",
        help="redirect TCP or UDP connections from host to guest (requires -net user)",
        run=hostfwd_add,
    ),
    Command(
        name="hostfwd_remove",
        args_type="arg1:s,arg2:s?",
        params="[netdev_id] [tcp|udp]:[hostaddr]:hostport",
        help="remove host-to-guest TCP or UDP redirection",
        run=hostfwd_remove,
    ),
    Command(
        name="announce_self",
        args_type="interfaces:s?,id:s?",
        params="[interfaces] [id]",
        help="Trigger GARP/RARP announcements",
        run=announce_self,
    ),
)

INFO = (
    Command(
        name="network",
        args_type="",
        params="",
        help="show the network state",
        run=info_network,
    ),
    Command(
        name="usernet",
        args_type="",
        params="",
        help="show user network stack connection states",
        run=info_usernet,
    ),
    Command(
        name="rocker",
        args_type="name:s",
        params="name",
        help="Show rocker switch",
        run=info_rocker,
    ),
    Command(
        name="rocker-ports",
        args_type="name:s",
        params="name",
        help="Show rocker ports",
        run=info_rocker_ports,
    ),
    Command(
        name="rocker-of-dpa-flows",
        args_type="name:s,tbl_id:i?",
        params="name [tbl_id]",
        help="Show rocker OF-DPA flow tables",
        run=info_rocker_of_dpa_flows,
    ),
    Command(
        name="rocker-of-dpa-groups",
        args_type="name:s,type:i?",
        params="name [type]",
        help="Show rocker OF-DPA groups",
        run=info_rocker_of_dpa_groups,
    ),
)
