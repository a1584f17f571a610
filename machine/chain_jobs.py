"""Jobs that shorten a disk's chain, stream and commit: what is looked at before one begins."""

from __future__ import annotations

from blockdev.chain import backing_of, chain, find_in_chain
from blockdev.errors import QemuError
from machine.block_lookup import check_op, find_node
from machine.job_options import JobOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.block_job import BlockJob
    from blockdev.node import BlockNode
    from machine.machine import Machine


def block_stream(
    machine: Machine,
    device: str,
    *,
    base: str | None = None,
    base_node: str | None = None,
    bottom: str | None = None,
    backing_name: str = "",
    options: JobOptions | None = None,
) -> BlockJob:
    """Begin to fetch what stands under a disk's image into it.

    Args:
        base: the file that stays under it; None: none does.
        base_node: the same by node name.
        bottom: the node of the last image that is fetched from, in the place of the two.
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
    elif bottom is not None:
        last = find_node(machine, "", bottom)
        if last.is_filter:
            raise QemuError(f"Node '{bottom}' is a filter, use a non-filter node as 'bottom'")
        if last not in list(chain(node)):
            raise QemuError(f"Node '{bottom}' is not in a chain starting from '{device}'")
        below = backing_of(last)
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
        options.job_id(machine, node),
        node,
        below,
        speed=options.speed,
        backing_name=backing_name,
        on_error=options.on_error,
        filter_name=options.filter_name,
        auto_finalize=options.auto_finalize,
        auto_dismiss=options.auto_dismiss,
    )
    options.begin(job)
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
    id = options.job_id(machine, node)
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
    options.begin(job)
    return job
