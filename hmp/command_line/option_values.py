"""What values of options mean, and what is said of one that can't be."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.option_list import BadIdentifier, is_identifier, parse_options
from hmp.command_line.options import Option
from machine.drive_options import NO_NODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class HelpAnswer(QemuError):
    """An option asked for help: the text that answers it, on standard output; "" for none.

    Attributes:
        status: what the program then exits with.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class BareError(QemuError):
    """An error that QEMU tells without its program's name."""


class Blame:
    """Puts the text of an option before an error that it led to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        passes = isinstance(error, BareError | HelpAnswer)
        if isinstance(error, QemuError) and self._text and not passes:
            raise QemuError(f"{self._text}: {error}", error.errno_value) from error


def about(option: Option, error: QemuError) -> QemuError:
    return QemuError(f"{option.text}: {error}")


def read_list(
    option: Option, implied_key: str, complain: Callable[[str], object]
) -> dict[str, str]:
    """The values of an option that is a list; of a key given twice the later one, of ids the first.

    Args:
        option: where they stand.
        implied_key: the key of a first value that has none; "" where it needs one.
        complain: takes what is to be warned of.

    Raises:
        QemuError: an ID can't be.
    """
    pairs = parse_options(
        option.value, implied_key, lambda text: complain(f"{option.text}: warning: {text}")
    )
    found = dict(pairs)
    ids = [value for key, value in pairs if key == "id"]
    if ids:
        found["id"] = ids[0]
        if not is_identifier(ids[0]):
            raise about(option, BadIdentifier())
    return found


def on_off(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    return value == "on"


def read_date(text: str) -> int | None:
    """``2006-06-17T16:01:21`` or ``2006-06-17``, in seconds since 1970; None for anything else."""
    from datetime import UTC, datetime

    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            date = datetime.strptime(text, form)
        except ValueError:
            continue
        return int(date.replace(tzinfo=UTC).timestamp())
    return None


def from_json(option: Option) -> dict[str, str]:
    """A JSON object as flat options: ``{"file": {"driver": ...}}`` gives ``file.driver``."""
    import json

    try:
        value = json.loads(option.value)
    except ValueError as error:
        raise about(option, QemuError("JSON parse error, invalid JSON")) from error
    flat: dict[str, str] = {}

    def flatten(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                flatten(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, bool):
            flat[prefix] = "on" if value else "off"
        elif isinstance(value, str):
            flat[prefix] = value
        elif value is None and prefix.endswith("backing"):
            flat[prefix] = NO_NODE
        else:
            text = f"Invalid parameter type for '{prefix}', expected: string"
            raise about(option, QemuError(text))

    flatten("", value)
    return flat
