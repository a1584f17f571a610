"""The processors that QEMU can have, by name: what each is, and what becomes of a changed one."""

from __future__ import annotations

import json
import os

from blockdev.errors import QemuError
from machine.schema import JSON, Bool, Integer, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from machine.schema import Source, Type

_PATH = os.path.join(os.path.dirname(__file__), "models.txt")
_BASE = "base"
_SUFFIX = "-x86_64-cpu"
_FAMILY_LIMIT, _NIBBLE, _BYTE = 0xF + 0xFF, 0xF, 0xFF
_RANGES = {"family": _FAMILY_LIMIT, "model": _BYTE, "stepping": _NIBBLE}
_VENDOR_LENGTH = 12
# What a level is unless somebody says it: as much as the features need.
_LEVELS = {"min-level": "level", "min-xlevel": "xlevel", "min-xlevel2": "xlevel2"}
_FIRST_VERSIONED = (4, 1)  # of the PCs, the first on which models have versions
_ONLY_OF_SOME = frozenset(("migratable", "host-cache-info"))


class CpuModel:
    """One model.

    Attributes:
        name: of it.
        alias_of: the model that it stands for; "" for none.
        is_migration_safe: it is the same on every host.
        unavailable: the features that it should have and that TCG can't do.
    """

    __slots__ = ("alias_of", "differences", "is_migration_safe", "like", "name", "unavailable")

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name
        self.alias_of = ""
        self.is_migration_safe = True
        self.unavailable: list[str] = []
        self.like = "" if name == _BASE else _BASE
        self.differences: list[str] = []
        for word in words:
            if word[0] == "=":
                self.alias_of = self.like = word[1:]
            elif word[0] == "<":
                self.like = word[1:]
            elif word[0] == "!":
                self.unavailable.append(word[1:])
            elif word == "unsafe":
                self.is_migration_safe = False
            else:
                self.differences.append(word)

    @property
    def type(self) -> str:
        """QOM's name of it."""
        return self.name + _SUFFIX

    @property
    def needs_host(self) -> bool:
        """It is whatever the host's processor is."""
        return self.name == "host"

    @property
    def is_static(self) -> bool:
        """It never changes, in no version."""
        return self.name == _BASE


class CpuModels:
    """The table.

    Source: what `query-cpu-definitions` and `query-cpu-model-expansion` of 7.2 answer with TCG, the
    latter also for single features that are switched on or off.
    """

    def __init__(self, text: str) -> None:
        # Headings and tables, by turns, with blank lines between.
        _, base, _, static, _, names, _, needs, _, levels, _, models = text.strip().split("\n\n")
        self._base: dict[str, Any] = {}
        for word in base.split():
            name, _, value = word.partition("=")
            self._base[name] = json.loads(value) if value else False
        self._static = static.split()
        self._names: dict[str, list[str]] = {}  # of what has more than one, by each of them
        for row in _rows(names):
            self._names.update(dict.fromkeys(row, row))
        self._needs = {row[0]: row[1:] for row in _rows(needs)}
        self._levels: list[tuple[str, int, list[str]]] = []
        for words, *features in _rows(levels):
            level, _, value = words.partition("=")
            self._levels.append((level, int(value), features))
        self._models = {row[0]: CpuModel(row[0], row[1:]) for row in _rows(models)}

    def __iter__(self) -> Iterator[CpuModel]:
        """In the order in which QEMU tells them."""
        return iter(self._models.values())

    def get(self, name: str) -> CpuModel | None:
        return self._models.get(name)

    def find(self, name: str) -> CpuModel:
        """Raises: QemuError: there is no such model."""
        found = self._models.get(name)
        if found is None:
            raise QemuError(f"CPU model '{name}' not found")
        return found

    def version_of(self, model: CpuModel, board: str) -> CpuModel | None:
        """The version that a model without one stands for on a board.

        Returns:
            None where it stands for none: it has one in its name, there is only this, or the board
            is older than versions are.
        """
        if not model.alias_of or board == "isapc":
            return None
        if board.startswith("pc-"):
            age = tuple(map(int, board.rpartition("-")[2].split(".")))
            return self._models[model.alias_of] if age >= _FIRST_VERSIONED else None
        if board != "microvm":
            return self._models[model.alias_of]
        prefix = f"{model.name}-v"
        numbers = (name.removeprefix(prefix) for name in self._models if name.startswith(prefix))
        newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
        return self._models[f"{prefix}{newest}" if newest else model.alias_of]

    def _properties(self, model: CpuModel) -> dict[str, Any]:
        """A model's own properties by name, in the order in which QEMU puts them together."""
        if not model.like:
            return {k: v for k, v in self._base.items() if k not in _ONLY_OF_SOME}
        found = self._properties(self._models[model.like])
        for word in model.differences:
            name, _, value = word.lstrip("+-").partition("=")
            self._set(found, name, json.loads(value.replace("~", " ")) if value else word[0] == "+")
        if model.is_migration_safe:
            return found
        return {k: found.get(k, self._base[k]) for k in self._base}

    def expand(
        self, model: CpuModel, changes: Mapping[str, Any], version: CpuModel | None = None
    ) -> dict[str, Any]:
        """A model's properties with some of them changed, and what follows from them all.

        Args:
            version: what it stands for, where that is known.

        Raises:
            QemuError: there is no such property, or it can't have that value.
        """
        found = self._properties(version or model)
        for name, value in changes.items():
            self.check(model, name, value, JSON)
            if name == "tsc-frequency":
                value -= value % 1000  # kept in kHz
            self._set(found, name, value)
        self._follow(found, changes)
        return found

    def static_properties(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some properties that make a model that never changes."""
        return {name: found[name] for name in self._static}

    def check(self, model: CpuModel, name: str, value: Any, source: Source) -> None:
        """Whether a property of a model can have a value.

        Raises:
            QemuError: there is no such property, or it can't.
        """
        from machine.qom.known_types import known_types

        types = known_types()
        found = types.find(model.type)
        assert found is not None, "each model has a type"
        kinds = {each.name: each.kind for each in types.properties(found)}
        if name not in kinds:
            raise QemuError(f"Property '{model.type}.{name}' not found")
        if name not in self._properties(model):
            raise QemuError(f"Property '{model.type}.{name}' is not writable")
        value = _type(kinds[name]).read(value, name, source)
        if name == "vendor" and len(value) != _VENDOR_LENGTH:
            raise QemuError(f"Property '.vendor' doesn't take value '{value}'")
        if name in _RANGES and not 0 <= value <= _RANGES[name]:
            raise QemuError(
                f"Property .{name} doesn't take value {value} "
                f"(minimum: 0, maximum: {_RANGES[name]})"
            )

    def _set(self, found: dict[str, Any], name: str, value: Any) -> None:
        for each in self._names.get(name, (name,)):
            found[each] = value

    def _follow(self, found: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """Switch off what lacks what it needs, and raise the levels to what the rest needs."""
        for name, needed_by in self._needs.items():
            if not found[name]:
                for each in needed_by:
                    self._set(found, each, False)
        for level, value, features in self._levels:
            if any(found[each] for each in features):
                found[level] = max(found[level], value)
        for least, level in _LEVELS.items():
            if level not in changes:
                found[level] = found[least]


def _type(kind: str) -> Type:
    """What a property of a kind takes."""
    if kind == "bool":
        return Bool()
    if "int" in kind:
        bits = kind.lstrip("uint")
        return Integer(int(bits) if bits else 64, is_signed=not kind.startswith("u"))
    return Text()


def _rows(text: str) -> Iterator[list[str]]:
    """The words of each row; a line that begins with a blank goes on with the one before it."""
    for row in text.replace("\n ", " ").splitlines():
        yield row.split()


_models: list[CpuModels] = []


def cpu_models() -> CpuModels:
    """The table, read when it is first asked for."""
    if not _models:
        with open(_PATH, encoding="ascii") as file:
            _models.append(CpuModels(file.read()))
    return _models[0]


def describe_models() -> str:
    """What answers ``-cpu help``."""
    path = os.path.join(os.path.dirname(__file__), "model_help.txt")
    with open(path, encoding="ascii") as file:
        return file.read().removesuffix("\n")
