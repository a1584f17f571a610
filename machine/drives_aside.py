"""A machine's drives, taken out of sight for a while so that it can have others."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


class DrivesAside:
    """The drives that a machine had; from now on it has none.

    Their media stay open and locked, devices that use them go on doing so, but neither snapshots
    nor the monitor know of them.  What the machine was saved to is forgotten with them.

    Raises:
        QemuError: a drive can't be written, or the drives are aside already.
    """

    def __init__(self, machine: Machine) -> None:
        drives = machine.drives
        if drives.are_aside:
            raise QemuError("The machine's drives are set aside already")
        machine.settle()
        machine.forget_head()
        self._machine = machine
        self._backends = list(drives.backends)
        self._drives = list(drives.drives)
        self._nodes = [node for node in machine.graph.nodes.values() if node.monitor_owned]
        for node in self._nodes:
            node.monitor_owned = False
        drives.are_aside = True
        self._clear()

    def take_out(self) -> None:
        """Close the drives that the machine has now.

        Raises:
            QemuError: one can't be written; it is out all the same.
        """
        machine = self._machine
        failure: QemuError | None = None
        for backend in machine.drives.backends:
            node = backend.remove()
            if node is not None and not node.parents:
                try:
                    machine.graph.remove(node)
                except QemuError as error:
                    failure = error
        self._clear()
        if failure is not None:
            raise failure

    def put_back(self) -> None:
        """Give the machine its own drives again, in place of those that it has now.

        Raises:
            QemuError: as `take_out`; its own are back all the same.
        """
        machine = self._machine
        machine.forget_head()
        try:
            self.take_out()
        finally:
            machine.drives.backends[:] = self._backends
            machine.drives.drives[:] = self._drives
            machine.drives.are_aside = False
            for node in self._nodes:
                node.monitor_owned = True

    def _clear(self) -> None:
        # The lists themselves stay: what saves the machine's state has them too.
        self._machine.drives.backends.clear()
        self._machine.drives.drives.clear()
