"""Every QMP command that is simulated, by name: the families, added up."""

from __future__ import annotations

from hmp.qmp.commands import (
    bitmap,
    block,
    block_job,
    chardev,
    device,
    display,
    encryption,
    export,
    information,
    memory,
    migration,
    network,
    node,
    object_type,
    processor,
    run,
    snapshot,
    text,
    trace,
    virtio,
    xen,
    yank,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.qmp.dispatch import Handler

HANDLERS: dict[str, Handler] = {
    **bitmap.HANDLERS,
    **block.HANDLERS,
    **block_job.HANDLERS,
    **chardev.HANDLERS,
    **device.HANDLERS,
    **display.HANDLERS,
    **encryption.HANDLERS,
    **export.HANDLERS,
    **information.HANDLERS,
    **memory.HANDLERS,
    **migration.HANDLERS,
    **network.HANDLERS,
    **node.HANDLERS,
    **object_type.HANDLERS,
    **processor.HANDLERS,
    **run.HANDLERS,
    **snapshot.HANDLERS,
    **text.HANDLERS,
    **trace.HANDLERS,
    **virtio.HANDLERS,
    **xen.HANDLERS,
    **yank.HANDLERS,
}
