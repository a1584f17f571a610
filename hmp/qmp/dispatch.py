"""A request becomes a call: which command, with which arguments, and what is said otherwise."""

from __future__ import annotations

from blockdev.errors import DeviceNotActive, NotFound, QemuError
from hmp.qmp.json_writer import in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from hmp.qmp.schema import Entry
    from hmp.qmp.session import QmpSession

    # Given the session, and the arguments as keywords with ``_`` for ``-``; what it returns is
    # the reply. A generator where it can last, as of a command of the human monitor.
    Handler = Callable[..., Any]

NEGOTIATION = "qmp_capabilities"
_CLASSES = ((NotFound, "DeviceNotFound"), (DeviceNotActive, "DeviceNotActive"))
_NO_ID = object()


class CommandNotFound(QemuError):
    """No such command, or not now."""


class Request:
    """What a client asks for.

    Attributes:
        command: its name; "" where there is none.
        arguments: as they came.
        is_oob: it asks to be run out of band.
        refusal: why it is no request; None if it is one.
    """

    __slots__ = ("_id", "arguments", "command", "is_oob", "refusal")

    def __init__(self, id: Any) -> None:
        self._id = id
        self.command = ""
        self.arguments: dict[str, Any] = {}
        self.is_oob = False
        self.refusal: QemuError | None = None

    def reply(self, result: Any) -> dict[str, Any]:
        """The message that says what a command returned."""
        return self._with_id({"return": {} if result is None else result})

    def _with_id(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._id is not _NO_ID:
            message["id"] = self._id
        return message

    def error(self, error: QemuError) -> dict[str, Any]:
        """The message that says what went wrong."""
        return self._with_id({"error": _error(error)})


def error_reply(error: QemuError, request: Request | None) -> dict[str, Any]:
    """The message that says what went wrong with a request; with None of which none came to be."""
    return {"error": _error(error)} if request is None else request.error(error)


def _error(error: QemuError) -> dict[str, Any]:
    name = "CommandNotFound" if isinstance(error, CommandNotFound) else "GenericError"
    for kind, kind_name in _CLASSES:
        if isinstance(error, kind):
            name = kind_name
    return {"class": name, "desc": error.sentence}


def needs_no_turn(value: Any) -> bool:
    """Whether a value asks to be run out of band."""
    return isinstance(value, dict) and "exec-oob" in value


def read_request(value: Any, *, has_oob: bool) -> Request:
    """The request that a value is."""
    request = Request(value.get("id", _NO_ID) if isinstance(value, dict) else _NO_ID)
    try:
        _fill(request, value, has_oob)
    except QemuError as error:
        request.refusal = error
    return request


def _fill(request: Request, value: Any, has_oob: bool) -> None:
    if not isinstance(value, dict):
        raise QemuError("QMP input must be a JSON object")
    verb = ""
    for name in in_order(value):
        member = value[name]
        if name == "execute" or (name == "exec-oob" and has_oob):
            if not isinstance(member, str):
                raise QemuError(f"QMP input member '{name}' must be a string")
            if verb:
                raise QemuError(f"QMP input member '{name}' clashes with '{verb}'")
            verb = name
            request.command = member
            request.is_oob = name == "exec-oob"
        elif name == "arguments":
            if not isinstance(member, dict):
                raise QemuError("QMP input member 'arguments' must be an object")
            request.arguments = member
        elif name != "id":
            raise QemuError(f"QMP input member '{name}' is unexpected")
    if not verb:
        raise QemuError("QMP input lacks member 'execute'")


def start(session: QmpSession, request: Request) -> Generator[object, None, Any]:
    """Run a request; a generator whose result is what the command returns.

    Raises:
        QemuError: there is no such command, its arguments don't fit, or it failed.
    """
    if request.refusal is not None:
        raise request.refusal
    from hmp.qmp.commands import HANDLERS
    from hmp.qmp.schema import schema

    name = request.command
    if not session.is_negotiated and name != NEGOTIATION:
        text = f"Expecting capabilities negotiation with '{NEGOTIATION}'"
        raise CommandNotFound(text)
    if session.is_negotiated and name == NEGOTIATION:
        raise CommandNotFound("Capabilities negotiation is already complete, command ignored")
    handler = HANDLERS.get(name)
    if handler is None:
        raise CommandNotFound(f"The command {name} has not been found")
    entry = schema().entry(name)
    if request.is_oob and not entry.allows_oob:
        raise QemuError(f"The command {name} does not support OOB")
    machine = session.machine
    # A command of the human monitor may be waiting meanwhile: what is reported isn't for it.
    reporter, machine.reporter = machine.reporter, None
    try:
        result = handler(session, **_arguments(entry, request))
        if hasattr(result, "send"):
            result = yield from result
        # Once a command has answered, nothing about a disk is only in memory.
        machine.settle()
    except QemuError:
        _settle_quietly(session)
        raise
    except RecursionError as error:
        raise QemuError("JSON nesting depth limit exceeded") from error
    except Exception as error:  # our own mistake, which must not end the session
        machine.log_exception()
        text = " ".join(str(error).split())
        raise QemuError(f"internal error: {type(error).__name__}: {text}") from error
    finally:
        machine.reporter = reporter
    return result


def _arguments(entry: Entry, request: Request) -> dict[str, Any]:
    """What a command's handler is called with.

    Raises:
        QemuError: they don't fit.
    """
    if entry.arguments.is_open:
        return {"options": request.arguments}
    found = entry.arguments.read_members(request.arguments)
    return {key.replace("-", "_"): value for key, value in found.items()}


def _settle_quietly(session: QmpSession) -> None:
    """Write back after a failure; what can't be written is tried again with the next command."""
    try:
        session.machine.settle()
    except QemuError:
        return
