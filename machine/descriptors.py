"""Descriptors that a client passed: those it gave names, and sets of them for all to use."""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NamedDescriptors:
    """The descriptors that one client gave names."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def keep(self, name: str, fd: int) -> None:
        """Keep a descriptor under a name; one that had it is closed.

        Raises:
            QemuError: it can't have that name; it is closed then.
        """
        if name[:1].isdecimal():
            os.close(fd)
            raise QemuError("Parameter 'fdname' expects a name not starting with a digit")
        if name in self._fds:
            os.close(self._fds[name])
        self._fds[name] = fd

    def take(self, name: str) -> int:
        """A descriptor; it is the caller's then.

        Raises:
            QemuError: there is none of this name.
        """
        if name not in self._fds:
            raise QemuError(f"File descriptor named '{name}' has not been found")
        return self._fds.pop(name)

    def close(self, name: str) -> None:
        """Close one.

        Raises:
            QemuError: there is none of this name.
        """
        if name not in self._fds:
            raise QemuError(f"File descriptor named '{name}' not found")
        os.close(self._fds.pop(name))


class DescriptorSets:
    """Sets of descriptors, by number."""

    def __init__(self) -> None:
        self._sets: dict[int, dict[int, str | None]] = {}

    def add(self, fd: int, number: int | None, opaque: str | None) -> int:
        """Put a descriptor into a set; the set's number.

        Args:
            number: None for a new set, with the lowest number that is free.
            opaque: what the client says of it.
        """
        if number is None:
            number = next(n for n in range(len(self._sets) + 1) if n not in self._sets)
        self._sets.setdefault(number, {})[fd] = opaque
        return number

    def remove(self, number: int, fd: int | None) -> None:
        """Take a descriptor out of a set, or all of them.

        Raises:
            QemuError: it isn't there.
        """
        found = self._sets.get(number)
        if found is None or (fd is not None and fd not in found):
            shown = f"fdset-id:{number}" + ("" if fd is None else f", fd:{fd}")
            raise QemuError(f"File descriptor named '{shown}' not found")
        for each in list(found) if fd is None else [fd]:
            del found[each]
            os.close(each)
        if not found:
            del self._sets[number]

    def values(self) -> list[dict[str, Any]]:
        """All sets, as QMP has them."""
        return [
            {"fdset-id": number, "fds": [_value(fd, found[fd]) for fd in reversed(found)]}
            for number, found in sorted(self._sets.items(), reverse=True)
        ]


def _value(fd: int, opaque: str | None) -> dict[str, Any]:
    return {"fd": fd} if opaque is None else {"fd": fd, "opaque": opaque}
