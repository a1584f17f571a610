"""Snapshots of the machine as jobs: what QMP has in the place of savevm, loadvm and delvm.

The work is done before the one who asked gets an answer, as nobody may touch the machine
meanwhile; how it went, the job says afterwards.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.job import Job
from machine import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from blockdev.job import Rest
    from machine.machine import Machine


class SnapshotJob(Job):
    """One of them; it stays until it is dismissed.

    Args:
        id: of the job.
        tag: of the snapshot.
        nodes: of the disks that take part.
    """

    def __init__(self, machine: Machine, id: str, tag: str, nodes: Sequence[str]) -> None:
        super().__init__(machine.jobs, id, auto_dismiss=False)
        self._machine = machine
        self._tag = tag
        self._nodes = nodes
        self._failure: QemuError | None = None

    def begin(self) -> Iterator[object]:
        """Do the work; a failure is the job's, which never raises here."""
        self.start()
        self.total = 1
        try:
            yield from self._work_steps()
        except QemuError as error:
            self._failure = error
        self.current = 1

    def run(self) -> Generator[Rest, None, None]:
        yield 0
        if self._failure is not None:
            raise self._failure

    def _work_steps(self) -> Iterator[object]:
        """The work.

        Raises:
            QemuError: it failed.
        """
        raise NotImplementedError


class SaveJob(SnapshotJob):
    """``snapshot-save``; a tag that is there already is refused."""

    type = "snapshot-save"

    def __init__(
        self, machine: Machine, id: str, tag: str, nodes: Sequence[str], state_node: str
    ) -> None:
        super().__init__(machine, id, tag, nodes)
        self._state_node = state_node

    def _work_steps(self) -> Iterator[object]:
        plan = snapshot.plan_save(
            self._machine,
            self._tag,
            nodes=self._nodes,
            state_node=self._state_node,
            replaces=False,
        )
        yield from snapshot.save(self._machine, plan)


class LoadJob(SnapshotJob):
    """``snapshot-load``."""

    type = "snapshot-load"

    def __init__(
        self, machine: Machine, id: str, tag: str, nodes: Sequence[str], state_node: str
    ) -> None:
        super().__init__(machine, id, tag, nodes)
        self._state_node = state_node

    def _work_steps(self) -> Iterator[object]:
        yield from snapshot.loadvm(
            self._machine, self._tag, nodes=self._nodes, state_node=self._state_node
        )


class DeleteJob(SnapshotJob):
    """``snapshot-delete``; a tag that isn't there is no mistake."""

    type = "snapshot-delete"

    def _work_steps(self) -> Iterator[object]:
        yield None
        plan = snapshot.plan_delete(self._machine, self._tag, nodes=self._nodes)
        snapshot.delete(self._machine, plan)
