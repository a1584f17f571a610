"""Options from a file (``-readconfig``), and such as change others (``-set``).

    [drive "d0"]
      file = "disk.qcow2"

is ``-drive id=d0,file=disk.qcow2``. Both are options like any other once they have been put in
their place.
"""

from __future__ import annotations

import re

from blockdev.errors import QemuError
from hmp.command_line.option_values import about
from hmp.command_line.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Groups that are called otherwise than their option.
_OPTION_OF_GROUP = {"memory": "m", "smp-opts": "smp", "boot-opts": "boot", "acpi": "acpitable"}
_GROUP_LINE = re.compile(r"\[([^\s\]]{1,63})\s+\"([^\"]{1,63})\"|\[([^\]]{1,63})")
_VALUE_LINE = re.compile(r"\s*(\S{1,63}+)\s*=\s*\"([^\"]{1,1023})")
_NAME_LINE = re.compile(r"\s*(\S{1,63})")
_CHANGE = re.compile(r"([^.]{1,63})\.([^.]{1,63})\.([^=]{1,63})=(.*)", re.S)
_SIZE_LIMIT = 1 << 20  # bytes of a file of options


def expand(options: Sequence[Option]) -> list[Option]:
    """The options with those of files in their places, and with the changes made.

    Raises:
        QemuError: a file can't be read or understood, or there is nothing to change.
    """
    found: list[Option] = []
    for option in options:
        if option.name == "readconfig":
            found.extend(_read(option))
        elif option.name == "set":
            _change(found, option)
        else:
            found.append(option)
    return found


def _change(options: list[Option], change: Option) -> None:
    match = _CHANGE.match(change.value)
    if match is None:
        raise about(change, QemuError(f'can\'t parse: "{change.value}"'))
    group, id, key, value = match.groups()
    name = _option_name(group)
    if name is None:
        raise about(change, QemuError(f"There is no option group '{group}'"))
    for index, option in enumerate(options):
        if option.name == name and f"id={id}" in option.value.split(","):
            changed = f"{option.value},{key}={_escape(value)}"
            options[index] = Option(name, changed, option.text)
            return
    raise about(change, QemuError(f'there is no {group} "{id}" defined'))


def _read(option: Option) -> Iterator[Option]:
    path = option.value
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_SIZE_LIMIT + 1)
    except IsADirectoryError as error:
        raise about(option, QemuError(f"Cannot read config file: {error.strerror}")) from error
    except OSError as error:
        raise about(option, QemuError(f"Could not open '{path}': {error.strerror}")) from error
    if len(text) > _SIZE_LIMIT:
        raise about(option, QemuError("Cannot read config file: File too large"))
    group: tuple[str, str | None] | None = None
    pairs: list[str] = []
    last = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        head = _GROUP_LINE.match(line)
        if head is not None:
            if group is not None:
                yield _option(group, pairs, f"{path}:{last}")
            closed = head[3] if "]" in line else f"{line[1:]}\n"
            group = (head[1] or closed, head[2])
            pairs = []
            continue
        named = _VALUE_LINE.match(line) or _NAME_LINE.match(line)
        if named is None:
            raise QemuError(f"{path}:{number}: parse error")
        if group is None:
            raise QemuError(f"{path}:{number}: no group defined")
        value = named[2] if named.re is _VALUE_LINE else ""
        pairs.append(f"{named[1]}={_escape(value)}")
        last = number
    if group is not None:
        yield _option(group, pairs, f"{path}:{last}")


def _option(group: tuple[str, str | None], pairs: Sequence[str], place: str) -> Option:
    name = _option_name(group[0])
    if name is None:
        where = f"{place}: " if pairs else ""
        raise QemuError(f"{where}There is no option group '{group[0]}'")
    first = [] if group[1] is None else [f"id={group[1]}"]
    return Option(name, ",".join([*first, *pairs]), place)


def _option_name(group: str) -> str | None:
    from hmp.command_line.option_groups import option_groups

    if not group or group not in option_groups():
        return None
    return _OPTION_OF_GROUP.get(group, group)


def _escape(value: str) -> str:
    return value.replace(",", ",,")
