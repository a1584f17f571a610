"""Jobs on the disks of a machine: what the commands look at before one begins."""

from __future__ import annotations

from blockdev.backend import Backend
from blockdev.block_job import REPORT
from blockdev.chain import backing_of, chain, find_in_chain
from blockdev.errors import QemuError
from blockdev.filter import skip_implicit
from blockdev.status import length_of
from machine.block_lookup import check_op, device_name, find_node, find_root
from machine.copy_target import create_target, open_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from blockdev.block_job import BlockJob
    from blockdev.node import BlockNode
    from machine.machine import Machine

FULL, TOP, NONE = "full", "top", "none"
EXISTING, ABSOLUTE_PATHS = "existing", "absolute-paths"


class JobOptions:
    """What all jobs may be given.

    Attributes:
        id: the job's name; None for the drive's.
        speed: bytes a second; 0 for no limit.
        on_error, on_target_error: what becomes of a fault of the disk, or of the target.
        filter_name: what the node is called that a job puts over the disk.
        is_held: the job doesn't begin before somebody calls its `start`.
    """

    __slots__ = (
        "auto_dismiss",
        "auto_finalize",
        "filter_name",
        "id",
        "is_held",
        "on_error",
        "on_target_error",
        "speed",
    )

    def __init__(
        self,
        id: str | None = None,
        *,
        speed: int = 0,
        on_error: str = REPORT,
        on_target_error: str = REPORT,
        filter_name: str | None = None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
        is_held: bool = False,
    ) -> None:
        self.id = id
        self.is_held = is_held
        self.speed = speed
        self.on_error = on_error
        self.on_target_error = on_target_error
        self.filter_name = filter_name
        self.auto_finalize = auto_finalize
        self.auto_dismiss = auto_dismiss


def options_of(values: Mapping[str, Any], *, is_held: bool = False) -> JobOptions:
    """What all jobs may be given, of the arguments of one by QMP's names."""
    return JobOptions(
        values.get("job-id"),
        speed=values.get("speed", 0),
        on_error=values.get("on-source-error", values.get("on-error", REPORT)),
        on_target_error=values.get("on-target-error", REPORT),
        filter_name=values.get("filter-node-name"),
        auto_finalize=values.get("auto-finalize", True),
        auto_dismiss=values.get("auto-dismiss", True),
        is_held=is_held,
    )


def _job_id(machine: Machine, node: BlockNode, options: JobOptions) -> str:
    """What the user calls the job, or the drive's id; "" for a node, which no job may be called."""
    return device_name(machine, node) if options.id is None else options.id


def start(machine: Machine, job: BlockJob) -> None:
    """Let a job begin."""
    job.start()


def cancel(job: BlockJob, *, force: bool) -> None:
    """Stop a job for good; without force one that is ready may end well.

    Raises:
        QemuError: somebody paused it, or it can't be stopped now.
    """
    if job.is_paused_by_user and not force:
        raise QemuError(f"The block job for device '{job.id}' is currently paused")
    job.cancel(force=force)


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
        driver = driver or source.driver
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
    id = _job_id(machine, node, options)
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
    start(machine, job)
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
) -> BlockJob:
    """Begin to copy a disk, as it is now, to a file; see `drive_mirror`.

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
        backing = below if sync != FULL else None
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
) -> BlockJob:
    """Begin to copy a disk, as it is now, to a node."""
    from blockdev.backup import BackupJob

    if sync not in (FULL, TOP, NONE):
        # No disk has a bitmap that somebody gave a name.
        raise QemuError(
            f"must provide a valid bitmap name for '{sync}' sync mode"
            if bitmap is None
            else f"Bitmap '{bitmap}' could not be found"
        )
    if target is node:
        raise QemuError("Source and target cannot be the same")
    id = _job_id(machine, node, options)
    if compress and target.driver != "qcow2":
        name = device_name(machine, target)
        raise QemuError(f"Compression is not supported for this drive {name}")
    check_op(machine, node, "backup-source")
    check_op(machine, target, "backup-target")
    if length_of(node) != length_of(target):
        raise QemuError("Source and target image have different sizes")
    job = BackupJob(
        machine.jobs,
        machine.graph,
        id,
        node,
        target,
        top_only=sync == TOP,
        compress=compress,
        speed=options.speed,
        on_source_error=options.on_error,
        on_target_error=options.on_target_error,
        filter_name=options.filter_name,
        auto_finalize=options.auto_finalize,
        auto_dismiss=options.auto_dismiss,
    )
    if not options.is_held:
        start(machine, job)
    return job


# --- stream and commit


def block_stream(
    machine: Machine,
    device: str,
    *,
    base: str | None = None,
    base_node: str | None = None,
    backing_name: str = "",
    options: JobOptions | None = None,
) -> BlockJob:
    """Begin to fetch what stands under a disk's image into it.

    Args:
        base: the file that stays under it; None: none does.
        base_node: the same by node name.
        backing_name: what the image calls it then.

    Raises:
        QemuError: no such disk or base, or something is busy.
    """
    from blockdev.stream import StreamJob

    options = options or JobOptions()
    node = find_node(machine, device, device)
    below: BlockNode | None = None
    if base is not None:
        below = find_in_chain(node, base)
        if below is None:
            raise QemuError(f"Can't find '{base}' in the backing chain")
    elif base_node is not None:
        below = find_node(machine, "", base_node)
        if below is node or below not in list(chain(node)):
            raise QemuError(f"Node '{base_node}' is not a backing image of '{device}'")
    check_op(machine, node, "stream")
    for image in chain(node):
        if image is below:
            break
        check_op(machine, image, "stream")
    if backing_name and below is None:
        raise QemuError("backing file specified, but streaming the entire chain")
    job = StreamJob(
        machine.jobs,
        machine.graph,
        _job_id(machine, node, options),
        node,
        below,
        speed=options.speed,
        backing_name=backing_name,
        on_error=options.on_error,
        filter_name=options.filter_name,
        auto_finalize=options.auto_finalize,
        auto_dismiss=options.auto_dismiss,
    )
    start(machine, job)
    return job


def block_commit(
    machine: Machine,
    device: str,
    *,
    top: BlockNode | None = None,
    base: BlockNode | None = None,
    backing_name: str = "",
    options: JobOptions | None = None,
) -> BlockJob:
    """Begin to put images of a disk's chain into one under them.

    Args:
        top: the first that goes; None: the active one, in which case the disk goes on in the
            base when the job is told to complete.
        base: takes them; None: the last of the chain.
        backing_name: what the overlay of `top` calls the base then.

    Raises:
        QemuError: no such disk, or something is busy or can't be written.
    """
    from blockdev.commit import CommitJob
    from blockdev.mirror import LEAVE, ActiveCommitJob

    options = options or JobOptions()
    node = find_node(machine, device, device)
    images = list(chain(node))
    top = top or images[0]
    base = base or images[-1]
    for image in images[images.index(top) : images.index(base) + 1]:
        check_op(machine, image, "commit-target")
    if top is base:
        raise QemuError("cannot commit an image into itself")
    id = _job_id(machine, node, options)
    if top is not images[0]:
        job: BlockJob = CommitJob(
            machine.jobs,
            machine.graph,
            id,
            node,
            top,
            base,
            speed=options.speed,
            backing_name=backing_name,
            on_error=options.on_error,
            filter_name=options.filter_name,
            auto_finalize=options.auto_finalize,
            auto_dismiss=options.auto_dismiss,
        )
    else:
        if backing_name:
            raise QemuError("'backing-file' specified, but 'top' is the active layer")
        machine.jobs.check_id(id)
        if base.read_only:
            base.reopen(read_only=False)
        job = ActiveCommitJob(
            machine.jobs,
            machine.graph,
            id,
            node,
            base,
            base=base,
            speed=options.speed,
            backing_mode=LEAVE,
            on_source_error=options.on_error,
            on_target_error=options.on_error,
            filter_name=options.filter_name,
            auto_finalize=options.auto_finalize,
            auto_dismiss=options.auto_dismiss,
        )
        job.hold_nodes(images[1 : images.index(base)])
    start(machine, job)
    return job
