"""What a person may choose about the rich front end: a row each, kept in a TOML file.

The file is `hmp/config.toml` in XDG_CONFIG_HOME, or what `--config` names.  A setting is a key of
it; one with a dot is a key of a table (`confirm.delete`).  The table `aliases` has words of one's
own, and the line that each stands for.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hmp.command import CommandTable

_ALIASES = "aliases"


class Setting:
    """One thing to choose.

    Attributes:
        name: in the file; with a dot, behind the name of its table.
        default: its value where the file has none; its type is the only one allowed.
        choices: the words that it may be; empty where it isn't one of a few words.
        help: what it does, one line.
        least: the smallest number that it may be.
    """

    __slots__ = ("choices", "default", "help", "least", "name")

    def __init__(
        self,
        name: str,
        default: bool | int | str,
        help: str,
        *,
        choices: tuple[str, ...] = (),
        least: int = 0,
    ) -> None:
        self.name = name
        self.default = default
        self.help = help
        self.choices = choices
        self.least = least

    def check(self, value: object) -> bool | int | str:
        """The value, if it is one of this setting's.

        Raises:
            QemuError: it isn't.
        """
        if self.choices:
            if value not in self.choices:
                raise QemuError(f"{self.name}: expects one of {', '.join(self.choices)}")
        elif isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise QemuError(f"{self.name}: expects true or false")
        elif not isinstance(value, int) or isinstance(value, bool) or value < self.least:
            raise QemuError(f"{self.name}: expects a whole number from {self.least} on")
        assert isinstance(value, (bool, int, str)), "each kind was looked at above"
        return value


SETTINGS = (
    Setting(
        "theme",
        "auto",
        "colours; auto goes by the variable COLORFGBG, and is dark without it",
        choices=("auto", "dark", "light", "mono"),
    ),
    Setting("keys", "emacs", "how the line is edited", choices=("emacs", "vi")),
    Setting("mouse", False, "click into the line; the terminal's own selection then needs Shift"),
    Setting("bar", True, "the bar below the line: run state, clock, snapshot, jobs"),
    Setting("menu", "typing", "when completions show", choices=("typing", "tab")),
    Setting("suggest", True, "show in grey how a line of the history would go on"),
    Setting("marks", True, "mark in a line what the monitor would refuse"),
    Setting("pager", True, "show an answer that is longer than the screen page by page"),
    Setting("events", "others", "which events show", choices=("all", "others", "none")),
    Setting("slow_ms", 100, "a command that took so many ms has its time shown at the right"),
    Setting("history_size", 10_000, "how many lines are kept for the next time", least=1),
    Setting("confirm.delete", True, "ask before delvm deletes a snapshot"),
    Setting("confirm.overwrite", True, "ask before savevm replaces a snapshot of the same tag"),
    Setting("confirm.quit", True, "ask before Ctrl-D quits, and before quit does while a job runs"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Settings:
    """The values of all settings, by their names: ``settings["confirm.delete"]``.

    Attributes:
        aliases: words of one's own, and what stands for each.
    """

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self._values = {setting.name: setting.default for setting in SETTINGS}

    def __getitem__(self, name: str) -> bool | int | str:
        return self._values[name]

    def number(self, name: str) -> int:
        """The value of a setting that is a number."""
        return int(self._values[name])

    def set(self, name: str, value: object) -> None:
        """Choose.

        Raises:
            QemuError: there is no such setting, or it can't have this value.
        """
        if name not in _BY_NAME:
            raise QemuError(f"{name}: no such setting")
        self._values[name] = _BY_NAME[name].check(value)

    def without_alias(self, line: str, commands: CommandTable) -> str:
        """The line that is meant where the first word is one of the user's own, and no command."""
        word = line.split(None, 1)[0] if line.strip() else ""
        if word in self.aliases and commands.find(word) is None:
            return self.aliases[word] + line.lstrip()[len(word) :]
        return line

    def confirm_nothing(self) -> None:
        """Never ask before a command."""
        for name in self._values:
            if name.startswith("confirm."):
                self._values[name] = False


def default_path() -> str:
    """Where the file is if nobody says otherwise."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "hmp", "config.toml")


def read_settings(path: str | None = None) -> Settings:
    """The settings of a file; those of the default one, which needn't be there, without `path`.

    Raises:
        QemuError: the file can't be read, isn't TOML, or has what no setting is.
    """
    settings = Settings()
    name = path if path is not None else default_path()
    try:
        with open(name, "rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        if path is None:
            return settings
        raise _unreadable(name, error) from error
    except OSError as error:
        raise _unreadable(name, error) from error
    try:
        for key, value in _flat(_parse(text)):
            if key.startswith(f"{_ALIASES}."):
                alias = key.removeprefix(f"{_ALIASES}.")
                settings.aliases[alias] = _checked_alias(alias, value)
            else:
                settings.set(key, value)
    except QemuError as error:
        raise QemuError(f"{name}: {error}") from error
    return settings


_LARGEST = 1 << 20  # bytes of a settings file


def _unreadable(name: str, error: OSError) -> QemuError:
    return QemuError(f"Could not open '{name}': {os.strerror(error.errno or 0)}")


def _parse(text: bytes) -> dict[str, Any]:
    import tomllib

    if len(text) > _LARGEST:
        raise QemuError("too large for a settings file")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # ValueError: numbers too long for Python, too
        raise QemuError(f"not TOML: {error}") from error


def _flat(tables: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Keys with the names of their tables before them, one level deep."""
    for name, value in tables.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                yield f"{name}.{key}", inner
        else:
            yield name, value


def _checked_alias(alias: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise QemuError(f"{_ALIASES}.{alias}: expects a line in quotes")
    if not alias or any(letter.isspace() or letter == "/" for letter in alias):
        raise QemuError(f"{_ALIASES}.{alias}: an alias is one word")
    return value


def describe_settings() -> str:
    """The settings as `--ui-help` shows them, no line wider than most terminals."""
    from textwrap import wrap

    width = max(len(setting.name) for setting in SETTINGS)
    lines = []
    for setting in SETTINGS:
        default = setting.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        about = f"{setting.help} ({'|'.join(setting.choices) or type(default).__name__}: {shown})"
        name, blank = f"  {setting.name:{width}}  ", " " * (width + 4)
        lines += wrap(about, 79, initial_indent=name, subsequent_indent=blank)
    return "\n".join(lines)
