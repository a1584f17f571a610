"""Jobs that copy a disk elsewhere, mirror and backup: what is looked at before one begins."""

from __future__ import annotations

from blockdev.backend import Backend
from blockdev.chain import backing_of
from blockdev.errors import QemuError
from blockdev.filter import skip_implicit
from blockdev.node_bitmap import NodeBitmap, check_bitmap, find
from blockdev.status import length_of
from machine.block_lookup import check_op, device_name, find_node, find_root
from machine.copy_target import create_target, open_target
from machine.job_options import JobOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from blockdev.block_job import BlockJob
    from blockdev.node import BlockNode
    from machine.machine import Machine

FULL, TOP, NONE = "full", "top", "none"
INCREMENTAL, BITMAP = "incremental", "bitmap"
_MAX_INT = (1 << 31) - 1
EXISTING, ABSOLUTE_PATHS = "existing", "absolute-paths"


# --- mirror


def drive_mirror(
    machine: Machine,
    device: str,
    target: str,
    *,
    driver: str | None = None,
    sync: str = TOP,
    mode: str = ABSOLUTE_PATHS,
    options: JobOptions | None = None,
    target_name: str | None = None,
    replaces: str | None = None,
    granularity: int = 0,
) -> BlockJob:
    """Begin to keep a copy of a disk in a file.

    Args:
        driver: the target's format; None: the source's, or what an existing file is.
        sync: `FULL`: everything, `TOP`: what the top image has, `NONE`: what is written.
        mode: `EXISTING`: the target is there; `ABSOLUTE_PATHS`: it is made.
        target_name: the target's node name.
        replaces: the node that the target stands for in the end; None: the disk's root.

    Raises:
        QemuError: no such disk, it is busy, or the target can't be had.
    """
    node = find_root(machine, device)
    check_op(machine, node, "mirror-source")
    options = options or JobOptions()
    source = skip_implicit(node)
    below = backing_of(source)
    if below is None and sync == TOP:
        sync = FULL
    if sync == NONE:
        below = source
    if mode != EXISTING:
        driver = source.driver if driver is None else driver
        backing = below if sync != FULL else None
        create_target(machine, target, driver, source.size, backing, looks=False)
    target_node = open_target(machine, target, driver, source.cache, target_name, no_backing=True)
    try:
        return mirror(
            machine,
            node,
            target_node,
            sync=sync,
            is_existing=mode == EXISTING,
            replaces=replaces,
            granularity=granularity,
            options=options,
        )
    except QemuError:
        machine.graph.remove_unused(target_node)
        raise


def mirror(
    machine: Machine,
    node: BlockNode,
    target: BlockNode,
    *,
    sync: str,
    options: JobOptions,
    is_existing: bool = False,
    keeps_chain: bool = False,
    replaces: str | None = None,
    granularity: int = 0,
) -> BlockJob:
    """Begin to keep a copy of a disk in a node.

    Args:
        is_existing: the target's own backing file is put under it in the end.
        keeps_chain: nothing is.
    """
    from blockdev.mirror import LEAVE, OPEN_CHAIN, SOURCE_CHAIN, MirrorJob

    if granularity and not 512 <= granularity <= 64 << 20:
        raise QemuError("Parameter 'granularity' expects a value in range [512B, 64MB]")
    if granularity & (granularity - 1):
        raise QemuError("Parameter 'granularity' expects a power of 2")
    if sync not in (FULL, TOP, NONE):
        raise QemuError(f"Sync mode '{sync}' not supported")
    check_op(machine, node, "mirror-source")
    check_op(machine, target, "mirror-target")
    id = options.job_id(machine, node)
    replaced = machine.graph.find(replaces) if replaces else None
    if sync == NONE:
        base: BlockNode | None = node
    else:
        base = backing_of(node) if sync == TOP else None
    backend = Backend("", target)
    backends = machine.drives.backends

    def finished() -> None:
        backends.remove(backend)
        if backend.node is not None:
            backend.remove()

    try:
        job = MirrorJob(
            machine.jobs,
            machine.graph,
            id,
            node,
            target,
            base=base,
            speed=options.speed,
            granularity=granularity,
            zero_target=sync == FULL and (is_existing or keeps_chain),
            backing_mode=LEAVE if keeps_chain else OPEN_CHAIN if is_existing else SOURCE_CHAIN,
            on_source_error=options.on_error,
            on_target_error=options.on_target_error,
            replaces=replaced,
            filter_name=options.filter_name,
            open_backing=lambda: machine.graph.open_backing(target),
            finished=finished,
            auto_finalize=options.auto_finalize,
            auto_dismiss=options.auto_dismiss,
        )
    except QemuError:
        backend.remove()
        raise
    # The copy is a disk of its own meanwhile: a snapshot of the machine has it too.
    backends.append(backend)
    options.begin(job)
    return job


# --- backup


def drive_backup(
    machine: Machine,
    device: str,
    target: str,
    *,
    driver: str | None = None,
    sync: str = TOP,
    mode: str = ABSOLUTE_PATHS,
    compress: bool = False,
    options: JobOptions | None = None,
    bitmap: str | None = None,
    bitmap_mode: str | None = None,
    perf: Mapping[str, Any] | None = None,
) -> BlockJob:
    """Begin to copy a disk, as it is now, to a file; see `drive_mirror` and `backup`.

    Raises:
        QemuError: no such disk, it is busy, or the target can't be had.
    """
    node = find_node(machine, device, device)
    if not node.is_inserted:
        raise QemuError(f"Device '{device}' has no medium")
    check_op(machine, node, "backup-source")
    options = options or JobOptions()
    source = skip_implicit(node)
    below = backing_of(source)
    if below is None and sync == TOP:
        sync = FULL
    if sync == NONE:
        below = source
    if mode != EXISTING:
        driver = driver or source.driver
        backing = below if sync in (TOP, NONE) else None
        create_target(machine, target, driver, source.size, backing, looks=sync != NONE)
    target_node = open_target(machine, target, driver, source.cache, None, no_backing=sync == NONE)
    target_node.detect_zeroes = "unmap"
    try:
        return backup(
            machine,
            node,
            target_node,
            sync=sync,
            compress=compress,
            options=options,
            bitmap=bitmap,
            bitmap_mode=bitmap_mode,
            perf=perf,
        )
    except QemuError:
        machine.graph.remove_unused(target_node)
        raise


def backup(
    machine: Machine,
    node: BlockNode,
    target: BlockNode,
    *,
    sync: str,
    compress: bool,
    options: JobOptions,
    bitmap: str | None = None,
    bitmap_mode: str | None = None,
    perf: Mapping[str, Any] | None = None,
) -> BlockJob:
    """Begin to copy a disk, as it is now, to a node.

    Args:
        bitmap: by which of the disk's it goes, or in which it notes what was copied.
        bitmap_mode: when it does the latter; see `blockdev.backup`.
        perf: how much it may do at a time, by QMP's names; it does less here.

    Raises:
        QemuError: it can't be.
    """
    from blockdev.backup import MIN_CLUSTER, NEVER, BackupJob

    found, bitmap_mode = _bitmap_of(node, sync, bitmap, bitmap_mode)
    if target is node:
        raise QemuError("Source and target cannot be the same")
    id = options.job_id(machine, node)
    if compress and target.driver != "qcow2":
        name = device_name(machine, target)
        raise QemuError(f"Compression is not supported for this drive {name}")
    check_op(machine, node, "backup-source")
    check_op(machine, target, "backup-target")
    _check_perf(perf or {})
    if found is not None and bitmap_mode != NEVER:
        check_bitmap(found)
    if length_of(node) != length_of(target):
        raise QemuError("Source and target image have different sizes")
    largest = (perf or {}).get("max-chunk", 0)
    cluster = max(MIN_CLUSTER, target.cluster_size)
    if 0 < largest < cluster:
        raise QemuError(
            f"Required max-chunk ({largest}) is less than backup cluster size ({cluster})"
        )
    job = BackupJob(
        machine.jobs,
        machine.graph,
        id,
        node,
        target,
        top_only=sync == TOP,
        bitmap=found,
        goes_by_bitmap=sync in (BITMAP, INCREMENTAL),
        bitmap_mode=bitmap_mode or NEVER,
        compress=compress,
        speed=options.speed,
        on_source_error=options.on_error,
        on_target_error=options.on_target_error,
        filter_name=options.filter_name,
        auto_finalize=options.auto_finalize,
        auto_dismiss=options.auto_dismiss,
    )
    options.begin(job)
    return job


def _check_perf(perf: Mapping[str, Any]) -> None:
    """See that the limits of a backup's requests can be.

    Raises:
        QemuError: they can't.
    """
    if not 0 < perf.get("max-workers", 1) <= _MAX_INT:
        raise QemuError(f"max-workers must be between 1 and {_MAX_INT}")
    if perf.get("max-chunk", 0) < 0:
        raise QemuError("max-chunk must be zero (which means no limit) or positive")


def _bitmap_of(
    node: BlockNode, sync: str, name: str | None, mode: str | None
) -> tuple[NodeBitmap | None, str | None]:
    """The bitmap that a backup is given, and what becomes of it.

    Raises:
        QemuError: there is none, it is in use, or makes no sense for this backup.
    """
    from blockdev.backup import NEVER, ON_SUCCESS

    if sync in (BITMAP, INCREMENTAL):
        if name is None:
            raise QemuError(f"must provide a valid bitmap name for '{sync}' sync mode")
        if sync == INCREMENTAL:
            if mode not in (None, ON_SUCCESS):
                raise QemuError(
                    f"Bitmap sync mode must be '{ON_SUCCESS}' when using sync mode '{sync}'"
                )
            mode = ON_SUCCESS
    if name is None:
        if mode is not None:
            raise QemuError("Cannot specify bitmap sync mode without a bitmap")
        return None, None
    found = find(node, name)
    if found is None:
        raise QemuError(f"Bitmap '{name}' could not be found")
    if mode is None:
        raise QemuError("Bitmap sync mode must be given when providing a bitmap")
    check_bitmap(found, is_changed=False)
    if sync == NONE:
        raise QemuError(f"sync mode '{sync}' does not produce meaningful bitmap outputs")
    if mode == NEVER and sync != BITMAP:
        raise QemuError(
            f"Bitmap sync mode '{mode}' has no meaningful effect when combined with "
            f"sync mode '{sync}'"
        )
    return found, mode
