"""Media that are put into drives and taken out while the machine is there."""

from __future__ import annotations

from blockdev.backend import Backend
from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine

READ_ONLY_MODES = ("retain", "read-only", "read-write")


def eject(machine: Machine, name: str, *, force: bool = False) -> None:
    """Open the tray, if there is one, and take the medium out.

    Raises:
        QemuError: no such drive, or its medium stays in.
    """
    backend = _drive(machine, name)
    _open_tray(machine, backend, force=force)
    _take_out(machine, backend)


def change(
    machine: Machine,
    name: str,
    filename: str,
    *,
    driver: str | None,
    read_only_mode: str | None,
    force: bool = False,
) -> None:
    """Put another medium in; the one before stays if the new one can't be opened.

    Args:
        driver: its format; None looks at the file.
        read_only_mode: one of `READ_ONLY_MODES`; None is the first.
        force: open the tray also when the guest has locked it.

    Raises:
        QemuError: no such drive, or the medium can't be opened.
    """
    mode = read_only_mode or READ_ONLY_MODES[0]
    if mode not in READ_ONLY_MODES:
        raise QemuError(f"invalid parameter value: {mode}")
    backend = _drive(machine, name)
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
    backend.tray_open = False


def _drive(machine: Machine, name: str) -> Backend:
    backend = machine.drives.backend(name)
    if backend is None:
        raise QemuError(f"Device '{name}' not found")
    return backend


def _open_tray(machine: Machine, backend: Backend, *, force: bool) -> None:
    if not backend.is_removable:
        raise QemuError(f"Device '{backend.name}' is not removable")
    if backend.is_locked and not force:
        raise QemuError(
            f"Device '{backend.name}' is locked and force was not specified, "
            "wait for tray to open and try again"
        )
    backend.tray_open = backend.has_tray
    if backend.node is not None:
        backend.node.check_op("eject", backend.shown_name)


def _take_out(machine: Machine, backend: Backend) -> None:
    node = backend.remove()
    if node is not None and not node.parents and not node.monitor_owned:
        machine.graph.remove(node)
