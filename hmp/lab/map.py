"""`%map DISK`: whose each cluster of an image is, drawn to fit a screen."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.block_info import size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.image import Image
    from hmp.monitor import Monitor

_COLUMNS = 64
_ROWS = 16
_LONGEST_NAME = 40  # characters of a file's name that fit beside the rest of the line
_MOST_SNAPSHOTS = 10  # whose deletion is tried out
_MOST_CLUSTERS = 700_000  # that all these trials together may look at


def map_(monitor: Monitor, *, device: str) -> None:
    disk, image = _find(monitor, device)
    from blockdev.qcow2.ownership import FREE, MEANINGS, owners

    picture = owners(image.metadata)
    size = image.cluster_size
    per_letter = max(1, -(-len(picture) // (_COLUMNS * _ROWS)))
    scale = f"{per_letter} clusters" if per_letter > 1 else "a cluster"
    name = image.filename if len(image.filename) <= _LONGEST_NAME else device
    monitor.print_line(f"{name}: a letter for {scale} of {size_text(size)}")
    for line in _rows(picture, per_letter, FREE):
        monitor.print_line(line)
    for letter, meaning in MEANINGS.items():
        if count := picture.count(letter):
            text = f"  {chr(letter)} {meaning:32} {count:>8} {size_text(count * size):>10}"
            monitor.print_line(text)
    for line in _deletions(monitor, disk, len(picture)):
        monitor.print_line(line)


def _find(monitor: Monitor, device: str) -> tuple[str, Image]:
    """The disk's name, and its image.

    Raises:
        QemuError: there is none, or it has no clusters.
    """
    from blockdev.qcow2.image import Image

    machine = monitor.machine
    backend = machine.drives.backend(device)
    node = backend.node if backend is not None else machine.graph.find(device)
    if backend is None and node is None:
        raise QemuError(f"Cannot find device='{device}' nor node-name='{device}'")
    while node is not None and not isinstance(node, Image):
        node = node.file
    if node is None:
        raise QemuError(f"'{device}' has no qcow2 image, so there are no clusters to show")
    return device, node


def _rows(picture: bytes, per_letter: int, free: int) -> Iterator[str]:
    """Lines of letters, each behind the offset of its first cluster in clusters."""
    letters = []
    for start in range(0, len(picture), per_letter):
        part = picture[start : start + per_letter]
        kinds = sorted(set(part) - {free}, key=lambda kind: (-part.count(kind), kind))
        letters.append(chr(kinds[0] if kinds else free))
    for start in range(0, len(letters), _COLUMNS):
        row = "".join(letters[start : start + _COLUMNS])
        yield f"{start * per_letter:8}: {row}"


def _deletions(monitor: Monitor, device: str, clusters: int) -> Iterator[str]:
    """What the deletion of each snapshot would free."""
    from machine.rehearsal import Stage
    from machine.snapshot import disks

    disk = next((each for each in disks(monitor.machine) if each.shown == device), None)
    if disk is None or not disk.node.snapshots():
        return
    yield "Deleting a snapshot would free:"
    snapshots = disk.node.snapshots()
    most = max(1, min(_MOST_SNAPSHOTS, _MOST_CLUSTERS // clusters))
    for snapshot in snapshots[:most]:
        stage = Stage(disk)
        stage.image.snapshot_delete(snapshot.id, snapshot.name)
        freed = -stage.effect(snapshot).clusters_taken
        size = size_text(freed * stage.image.cluster_size)
        yield f"  {snapshot.id:>4} {snapshot.name:20} {freed:>8} {size:>10}"
    if len(snapshots) > most:
        yield f"  and {len(snapshots) - most} more"
