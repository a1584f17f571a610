"""Every QMP command that is simulated, by name: the families, added up."""

from __future__ import annotations

from hmp.qmp.commands import (
    information,
    run,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.qmp.dispatch import Handler

HANDLERS: dict[str, Handler] = {
    **information.HANDLERS,
    **run.HANDLERS,
}
