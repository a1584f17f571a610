"""Devices and the buses they are on."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from hmp.commands.description import has_none, print_description
from hmp.commands.unavailable import unavailable
from machine.devices.bus import find_bus
from machine.identifiers import device_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def complete_device(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], device_ids(machine) if len(words) == 1 else ())


def device_add(monitor: Monitor, *, device: dict[str, str]) -> None:
    help_words = ("help", "?")
    if device.get("driver") in help_words:
        _list_models(monitor, only_for_users=True)
    elif "driver" in device and any(word in device for word in help_words):
        from machine.devices.properties import describe

        try:
            for line in describe(device["driver"]):
                monitor.print_line(line)
        except QemuError as error:
            monitor.print_line(str(error))  # QEMU prints this without its usual word before it
    else:
        monitor.machine.plugs.plug(device, is_hotplug=True)


def _list_models(monitor: Monitor, *, only_for_users: bool) -> None:
    from machine.devices.models import listing

    for line in listing(only_for_users=only_for_users):
        monitor.print_line(line)


def info_qdm(monitor: Monitor) -> None:
    _list_models(monitor, only_for_users=False)


def device_del(monitor: Monitor, *, id: str) -> None:
    monitor.machine.plugs.unplug(id)


def pcie_aer_inject_error(
    monitor: Monitor,
    *,
    advisory_non_fatal: bool,
    correctable: bool,
    id: str,
    error_status: str,
    header0: int | None,
    header1: int | None,
    header2: int | None,
    header3: int | None,
    prefix0: int | None,
    prefix1: int | None,
    prefix2: int | None,
    prefix3: int | None,
) -> None:
    if id in device_ids(monitor.machine):
        unavailable(monitor)
    else:
        monitor.print_line(f"id or pci device path is invalid or device not found. {id}")


def balloon(monitor: Monitor, *, value: int) -> None:
    if value <= 0:
        raise QemuError("Parameter 'target' expects a size")
    if not monitor.machine.describe("balloon"):
        raise QemuError("No balloon device has been activated")


def info_balloon(monitor: Monitor) -> None:
    lines = monitor.machine.describe("balloon")
    if not lines:
        raise QemuError("No balloon device has been activated")
    for line in lines:
        monitor.print_line(line)


def info_qtree(monitor: Monitor) -> None:
    print_description(monitor, "qtree")


def info_pci(monitor: Monitor) -> None:
    print_description(monitor, "pci")


def info_usb(monitor: Monitor) -> None:
    if find_bus(monitor.machine.buses, kind="usb-bus") is None:
        raise QemuError("USB support not enabled")
    print_description(monitor, "usb")


def info_roms(monitor: Monitor) -> None:
    print_description(monitor, "roms")


def info_tpm(monitor: Monitor) -> None:
    print_description(monitor, "tpm")


def info_vm_generation_id(monitor: Monitor) -> None:
    if has_none(monitor, "vm-generation-id"):
        raise QemuError("VM Generation ID device not found")
    print_description(monitor, "vm-generation-id")


COMMANDS = (
    Command(
        name="device_add",
        args_type="device:O",
        params="driver[,prop=value][,...]",
        help="add device, like -device on the command line",
        run=device_add,
    ),
    Command(
        name="device_del",
        args_type="id:s",
        params="device",
        help="remove device",
        run=device_del,
        complete=complete_device,
    ),
    Command(
        name="pcie_aer_inject_error",
        args_type=(
            "advisory_non_fatal:-a,correctable:-c,id:s,error_status:s,header0:i?,"
            "header1:i?,header2:i?,header3:i?,prefix0:i?,prefix1:i?,prefix2:i?,"
            "prefix3:i?"
        ),
        params="[-a] [-c] id <error_status> [<tlp header> [<tlp header prefix>]]",
        help=(
            "inject pcie aer error\n"
            "\t\t\t -a for advisory non fatal error\n"
            "\t\t\t -c for correctable error\n"
            "\t\t\t<id> = qdev device id\n"
            "\t\t\t<error_status> = error string or 32bit\n"
            "\t\t\t<tlp header> = 32bit x 4\n"
            "\t\t\t<tlp header prefix> = 32bit x 4"
        ),
        run=pcie_aer_inject_error,
    ),
    Command(
        name="balloon",
        args_type="value:M",
        params="target",
        help="request VM to change its memory allocation (in MB)",
        run=balloon,
    ),
)

INFO = (
    Command(
        name="qtree",
        args_type="",
        params="",
        help="show device tree",
        run=info_qtree,
    ),
    Command(
        name="qdm",
        args_type="",
        params="",
        help="show qdev device model list",
        run=info_qdm,
    ),
    Command(
        name="pci",
        args_type="",
        params="",
        help="show PCI info",
        run=info_pci,
    ),
    Command(
        name="usb",
        args_type="",
        params="",
        help="show guest USB devices",
        run=info_usb,
    ),
    Command(
        name="usbhost",
        args_type="",
        params="",
        help="show host USB devices",
        run=None,
    ),
    Command(
        name="roms",
        args_type="",
        params="",
        help="show roms",
        run=info_roms,
    ),
    Command(
        name="tpm",
        args_type="",
        params="",
        help="show the TPM device",
        run=info_tpm,
    ),
    Command(
        name="vm-generation-id",
        args_type="",
        params="",
        help="Show Virtual Machine Generation ID",
        run=info_vm_generation_id,
    ),
    Command(
        name="balloon",
        args_type="",
        params="",
        help="show balloon information",
        run=info_balloon,
    ),
)
