"""A lesson that goes on: its disks are in the machine, and the machine's own wait aside."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.lab.goals import judge
from machine.assembly import build
from machine.drives_aside import DrivesAside
from machine.machine import Machine
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hmp.lab.curriculum import Lesson, LessonDisk, Preparation
    from hmp.lab.goals import Verdict

_READY = (
    RunState.RUNNING,
    RunState.PAUSED,
    RunState.PRELAUNCH,
    RunState.RESTORE_VM,
    RunState.IO_ERROR,
)
_AT_ONCE = 1 << 20  # bytes that are written at a time


class Course:
    """One lesson in a machine.

    Args:
        machine: gets the lesson's disks; its own come back with `end`.
        lesson: which.
        folder: for the files; "" makes one that goes when the program ends.

    Attributes:
        folder: where the files are.
        prediction: the letter that the learner said; "" before that.
        hints_given: how many hints were asked for.
        met: for each goal, whether it was met when it was last looked at.

    Raises:
        QemuError: the files can't be made, or the machine can't take them; it is as before.
    """

    def __init__(self, machine: Machine, lesson: Lesson, folder: str = "") -> None:
        if machine.runstate not in _READY:
            raise QemuError(f"The machine is {machine.status_text()}, so it can't do a lesson")
        self.lesson = lesson
        self.prediction = ""
        self.hints_given = 0
        self.met = [False] * len(lesson.goals)
        self._machine = machine
        self._remove_folder: Callable[[], object] | None = None
        self.folder = folder or self._make_folder()
        self._make_files()
        self._aside = DrivesAside(machine)
        try:
            self._prepare()
        except QemuError:
            self.end()
            raise

    def path(self, name: str) -> str:
        """Where one of the lesson's files is."""
        return os.path.join(self.folder, name)

    def judge(self) -> list[Verdict]:
        """How far the learner is."""
        self._machine.settle()
        return judge(self.folder, self.lesson.goals)

    def end(self) -> None:
        """Take the lesson's disks out, and put the machine's own back.

        Raises:
            QemuError: a disk of the lesson can't be written; all is back all the same.
        """
        try:
            self._aside.put_back()
        finally:
            if self._remove_folder is not None:
                self._remove_folder()

    # --- the files

    def _make_folder(self) -> str:
        """One that goes with the lesson, at the latest when the program ends."""
        import shutil
        import tempfile
        import weakref

        try:
            folder = tempfile.mkdtemp(prefix="hmp-lesson-")
        except OSError as error:
            raise QemuError(f"Could not create a folder: {error.strerror}") from error
        self._remove_folder = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _make_files(self) -> None:
        """Make the disks, with what they have from the beginning; none is written over."""
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise QemuError(f"Could not create '{self.folder}': {error.strerror}") from error
        disks = [disk for disk in self.lesson.disks if disk.file]
        for disk in disks:
            if os.path.lexists(self.path(disk.file)):
                raise QemuError(f"'{self.path(disk.file)}' is there already; name another folder")
        for disk in disks:
            self._make_file(disk)

    def _make_file(self, disk: LessonDisk) -> None:
        from blockdev.graph import Graph
        from blockdev.node import CacheMode
        from blockdev.qcow2.create import create_image

        path = self.path(disk.file)
        if disk.format == "raw":
            try:
                with open(path, "xb") as file:
                    file.truncate(disk.size)
            except OSError as error:
                raise QemuError(f"Could not create '{path}': {error.strerror}") from error
        else:
            backing_format = "qcow2" if disk.backing else ""
            create_image(path, disk.size, backing=disk.backing, backing_format=backing_format)
        graph = Graph(self._machine.report)
        try:
            node = graph.open_image(
                path, driver=disk.format, read_only=False, cache=CacheMode(), is_literal=True
            )
            for offset, size, byte in disk.writes:
                for start in range(0, size, _AT_ONCE):
                    data = bytes([byte]) * min(_AT_ONCE, size - start)
                    node.write(offset + start, [data])
        finally:
            graph.close()

    # --- the drives

    def _put_in(self, machine: Machine, disks: Iterable[LessonDisk]) -> None:
        for disk in disks:
            options = {"if": "none", "id": disk.name}
            if disk.file:
                options |= {"file.filename": self.path(disk.file), "format": disk.format}
            if disk.snapshot:
                options["snapshot"] = "on"
            machine.drives.add(options)

    # --- before the learner begins

    def _prepare(self) -> None:
        machine = self._machine
        for preparation in self.lesson.preparations:
            if preparation.ram_size:
                self._prepare_elsewhere(preparation)
            else:
                self._put_in(machine, self._wanted(preparation))
                self._type(machine, preparation.lines)
                self._aside.take_out()
        machine.forget_head()
        self._put_in(machine, [disk for disk in self.lesson.disks if disk.name])
        if not machine.is_running:
            machine.cont()

    def _prepare_elsewhere(self, preparation: Preparation) -> None:
        """Let another machine do it, which has the disks for as long."""
        machine = Machine(self._machine.board, ram_size=preparation.ram_size)
        try:
            self._put_in(machine, self._wanted(preparation))
            build(machine)
            self._type(machine, preparation.lines)
        finally:
            machine.close()
            machine.loop.close()

    def _wanted(self, preparation: Preparation) -> list[LessonDisk]:
        names = preparation.drives
        return [
            disk
            for disk in self.lesson.disks
            if disk.name and (names is None or disk.name in names)
        ]

    def _type(self, machine: Machine, lines: Iterable[str]) -> None:
        from hmp.monitor import Monitor

        monitor = Monitor(machine, _hear_nothing)
        for line in lines:
            for _ in monitor.execute(line):
                pass
            if monitor.failure is not None:
                raise QemuError(f"The lesson can't be prepared: {monitor.failure.text}")


def _hear_nothing(_text: str) -> None:
    pass
