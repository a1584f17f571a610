"""Disks in a line: ``"64M"``, ``"data:1G"``, ``"cd:16M:raw"``."""

from __future__ import annotations

from pathlib import Path

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.qcow2.create import create_image
from hmp.scanner import Scanner
from hmp.size import read_size

FORMATS = ("qcow2", "raw")


class Disk:
    """A disk of a machine under test.

    Args:
        text: ``[ID:]SIZE[:FORMAT]``; the size with QEMU's suffixes.
        number: its place among the disks, for an id where none is given.
        folder: where its file goes, ``ID.FORMAT``.

    Attributes:
        id: of the drive.
        format: "qcow2" or "raw".
        path: the file.
    """

    def __init__(self, text: str, number: int, folder: Path) -> None:
        parts = text.split(":")
        self.format = parts.pop() if parts[-1] in FORMATS else "qcow2"
        scanner = Scanner(parts.pop() if parts else "")
        size = read_size(scanner, "B")
        if size is None or not scanner.at_end or len(parts) > 1:
            raise ValueError(f"{text!r} is no disk: [ID:]SIZE[:qcow2|raw]")
        self.id = parts[0] if parts else f"disk{number}"
        self.path = folder / f"{self.id}.{self.format}"
        if self.format == "qcow2":
            create_image(str(self.path), size.value)
        else:
            with self.path.open("wb") as file:
                file.truncate(size.value)

    @property
    def arguments(self) -> list[str]:
        path = str(self.path).replace(",", ",,")
        return ["-drive", f"if=none,id={self.id},format={self.format},file={path}"]

    def snapshots(self) -> list[str]:
        """The tags of the snapshots in the file as it is now, in their order.

        Raises:
            QemuError: the file is no image any more.
        """
        if self.format != "qcow2":
            return []
        graph = Graph(_ignore)
        cache = CacheMode()
        try:
            file = graph.open_file(str(self.path), read_only=True, cache=cache, locking=False)
            node = graph.open_format(
                "qcow2", file, read_only=True, cache=cache, open_backing=lambda: None
            )
            return [snapshot.name for snapshot in node.snapshots()]
        finally:
            graph.close()


def _ignore(_text: str) -> None:
    """A warning is not what a test looks for."""
