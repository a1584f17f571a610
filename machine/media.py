"""Media that are put into drives and taken out while the machine is there."""

from __future__ import annotations

from blockdev.backend import Backend
from blockdev.errors import DeviceNotFound, QemuError
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine

# Where paths of devices begin that don't begin with a slash.
_PERIPHERAL = "/machine/peripheral/"
READ_ONLY_MODES = ("retain", "read-only", "read-write")


def eject(
    machine: Machine, name: str | None, *, id: str | None = None, force: bool = False
) -> None:
    """Open the tray, if there is one, and take the medium out.

    Args:
        name, id: the drive, or the device that has it; exactly one of them.

    Raises:
        QemuError: no such drive, or its medium stays in.
    """
    backend = find_drive(machine, name, id)
    _open_tray(machine, backend, force=force)
    _take_out(machine, backend)


def change(
    machine: Machine,
    name: str | None,
    filename: str,
    *,
    driver: str | None,
    read_only_mode: str | None,
    id: str | None = None,
    force: bool = False,
) -> None:
    """Put another medium in; the one before stays if the new one can't be opened.

    Args:
        name, id: as in `eject`.
        driver: its format; None looks at the file.
        read_only_mode: one of `READ_ONLY_MODES`; None is the first.
        force: open the tray also when the guest has locked it.

    Raises:
        QemuError: no such drive, or the medium can't be opened.
    """
    mode = READ_ONLY_MODES[0] if read_only_mode is None else read_only_mode
    if mode not in READ_ONLY_MODES:
        raise QemuError(f"invalid parameter value: {mode}")
    backend = find_drive(machine, name, id)
    if mode != "retain":
        backend.wants_read_only = mode == "read-only"
    node = machine.graph.open_image(
        filename, driver=driver, read_only=backend.wants_read_only, cache=backend.cache
    )
    try:
        _open_tray(machine, backend, force=force)
    except QemuError:
        machine.graph.remove(node)
        raise
    _take_out(machine, backend)
    if backend.device is not None:
        node.claim(attached=True)
    backend.insert(node)
    _move_tray(machine, backend, is_open=False)


def open_tray(
    machine: Machine, name: str | None, *, id: str | None = None, force: bool = False
) -> None:
    """Open a drive's tray; one without any stays as it is.

    Raises:
        QemuError: no such drive, or the guest has locked it.
    """
    _open_tray(machine, find_drive(machine, name, id), force=force)


def close_tray(machine: Machine, name: str | None, *, id: str | None = None) -> None:
    """Close it again.

    Raises:
        QemuError: no such drive, or nothing can be taken out of it.
    """
    backend = find_drive(machine, name, id)
    if not backend.is_removable:
        raise QemuError(f"Device '{name or id}' is not removable")
    _move_tray(machine, backend, is_open=False)


def remove_medium(machine: Machine, name: str | None, *, id: str | None = None) -> None:
    """Take a medium out of an open tray.

    Raises:
        QemuError: no such drive, or its medium stays in.
    """
    backend = find_drive(machine, name, id)
    _check_open(backend, f"device '{name or id}'")
    if backend.node is not None:
        backend.node.check_op("eject", backend.shown_name)
    _take_out(machine, backend)


def insert_medium(
    machine: Machine, name: str | None, node_name: str, *, id: str | None = None
) -> None:
    """Put a node into an open tray.

    Raises:
        QemuError: no such drive or node, one is in it, or somebody has the node.
    """
    backend = find_drive(machine, name, id)
    node = machine.graph.find(node_name)
    if node is None:
        raise QemuError(f"Node '{node_name}' not found")
    if any(each.node is node for each in machine.drives.backends):
        raise QemuError(f"Node '{node_name}' is already in use")
    _check_open(backend)
    if backend.node is not None:
        raise QemuError("There already is a medium in the device")
    if backend.device is not None:
        node.claim(attached=True)
    backend.insert(node)


def find_drive(machine: Machine, name: str | None, id: str | None = None) -> Backend:
    """The drive of a name, or that of a device.

    Raises:
        QemuError: there is none, or not exactly one of the two is given.
    """
    if (name is None) == (id is None):
        raise QemuError("Need exactly one of 'device' and 'id'")
    if name is not None:
        backend = machine.drives.backend(name)
        if backend is None:
            raise DeviceNotFound(name)
        return backend
    assert id is not None
    device = machine.plugs.find(id)
    for backend in machine.drives.backends:
        paths = (id, _PERIPHERAL + id, device.path if device is not None else id)
        if backend.device is not None and backend.device in paths:
            return backend
    if device is None:
        raise DeviceNotFound(id)
    raise QemuError("Device does not have a block device backend")


def _check_open(backend: Backend, shown: str = "the device") -> None:
    if backend.device is not None and not backend.is_removable:
        name = shown.removeprefix("the ")
        raise QemuError(f"{name[:1].upper()}{name[1:]} is not removable")
    if backend.device is not None and backend.has_tray and not backend.tray_open:
        raise QemuError(f"Tray of {shown} is not open")


def _open_tray(machine: Machine, backend: Backend, *, force: bool) -> None:
    if not backend.is_removable:
        raise QemuError(f"Device '{backend.name}' is not removable")
    if backend.is_locked and not force:
        raise QemuError(
            f"Device '{backend.name}' is locked and force was not specified, "
            "wait for tray to open and try again"
        )
    _move_tray(machine, backend, is_open=True)
    if backend.node is not None:
        backend.node.check_op("eject", backend.shown_name)


def _move_tray(machine: Machine, backend: Backend, *, is_open: bool) -> None:
    if not backend.has_tray or backend.tray_open == is_open:
        return
    backend.tray_open = is_open
    if machine.runstate is not RunState.INMIGRATE:
        machine.events.emit(
            "DEVICE_TRAY_MOVED", device=backend.name, id=backend.device or "", tray_open=is_open
        )


def _take_out(machine: Machine, backend: Backend) -> None:
    if machine.has_exports:
        machine.exports.forget_drive(backend)
    node = backend.remove()
    if node is not None and not node.parents and not node.monitor_owned:
        machine.graph.remove(node)
