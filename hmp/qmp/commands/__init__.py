"""Every QMP command that is simulated, by name: the families, added up."""

from __future__ import annotations

from hmp.qmp.commands import (
    bitmap,
    block,
    block_job,
    chardev,
    device,
    display,
    export,
    information,
    memory,
    migration,
    network,
    node,
    run,
    snapshot,
    text,
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
    **export.HANDLERS,
    **information.HANDLERS,
    **memory.HANDLERS,
    **migration.HANDLERS,
    **network.HANDLERS,
    **node.HANDLERS,
    **run.HANDLERS,
    **snapshot.HANDLERS,
    **text.HANDLERS,
}
