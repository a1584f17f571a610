"""The settings: each row, each wrong kind, and what the program says of a bad file."""

import subprocess
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from hmp.commands import COMMANDS
from hmp.settings import SETTINGS, Setting, Settings, default_path, describe_settings, read_settings

WRONG = ('"no such word"', "1.5", "-1", "[1]", "2024-01-01", "{a = 1}")
by_name = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


def toml(name: str, value: str) -> str:
    table, dot, key = name.rpartition(".")
    return f"[{table}]\n{key} = {value}\n" if dot else f"{key} = {value}\n"


def values_of(setting: Setting) -> list[bool | int | str]:
    if setting.choices:
        return list(setting.choices)
    if isinstance(setting.default, bool):
        return [True, False]
    return [setting.least, 10**30]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@by_name
def test_each_setting_takes_its_values(setting: Setting, file: Path) -> None:
    for value in values_of(setting):
        text = f'"{value}"' if isinstance(value, str) else str(value).lower()
        file.write_text(toml(setting.name, text))
        assert read_settings(str(file))[setting.name] == value
    assert Settings()[setting.name] == setting.default


@by_name
@pytest.mark.parametrize("text", WRONG)
def test_each_setting_refuses_what_is_no_value_of_it(
    setting: Setting, text: str, file: Path
) -> None:
    file.write_text(toml(setting.name, text))
    with pytest.raises(QemuError) as caught:
        read_settings(str(file))
    assert str(caught.value).startswith(f"{file}: {setting.name}")
    assert "\n" not in str(caught.value)


@by_name
def test_a_truth_is_no_number_and_a_number_no_truth(setting: Setting, file: Path) -> None:
    file.write_text(toml(setting.name, "1" if isinstance(setting.default, bool) else "true"))
    with pytest.raises(QemuError, match=f"{setting.name}: expects"):
        read_settings(str(file))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"bogus = 1", "bogus: no such setting"),
        (b"[confirm]\nbogus = true", "confirm.bogus: no such setting"),
        (b"confirm = true", "confirm: no such setting"),
        (b"a = [1,", "not TOML: "),
        (b"\0", "not TOML: "),
        (b"\xff = 1", "not TOML: "),
        (b"slow_ms = " + b"9" * 5000, "not TOML: "),
        (b"a = " + b"[" * 100_000, "not TOML: "),
        (b"# " + b"x" * (1 << 20), "too large for a settings file"),
        (b"[aliases]\nx = 1", "aliases.x: expects a line in quotes"),
        (b'[aliases]\nx = " "', "aliases.x: expects a line in quotes"),
        (b'[aliases]\nx = "a\\nb"', "aliases.x: expects a line in quotes"),
        (b'[aliases]\n"a b" = "stop"', "aliases.a b: an alias is one word"),
        (b'[aliases]\n"x/4" = "stop"', "aliases.x/4: an alias is one word"),
    ],
)
def test_a_file_that_is_none_of_settings(data: bytes, complaint: str, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(QemuError) as caught:
        read_settings(str(file))
    assert str(caught.value).startswith(f"{file}: {complaint}")


def test_the_usual_file_need_not_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == f"{tmp_path}/hmp/config.toml"
    assert read_settings()["theme"] == "auto"
    with pytest.raises(QemuError, match="No such file"):
        read_settings(str(tmp_path / "other"))
    with pytest.raises(QemuError, match="Is a directory"):
        read_settings(str(tmp_path))


def test_an_alias_stands_for_its_line_unless_a_command_has_the_name(file: Path) -> None:
    file.write_text('[aliases]\nss = "info snapshots"\nstop = "quit"\n')
    settings = read_settings(str(file))
    for line, meant in (
        ("ss", "info snapshots"),
        (" ss x", "info snapshots x"),
        ("ss\tx", "info snapshots\tx"),
        ("ssx", "ssx"),
        ("stop", "stop"),
        ("", ""),
        ("  ", "  "),
    ):
        assert settings.without_alias(line, COMMANDS) == meant


def test_nothing_is_confirmed_on_demand() -> None:
    settings = Settings()
    settings.confirm_nothing()
    assert [settings[s.name] for s in SETTINGS if s.name.startswith("confirm.")] == [False] * 3
    assert settings["bar"] is True


@by_name
def test_each_setting_is_described(setting: Setting) -> None:
    words = " ".join(describe_settings().split())
    kind = "|".join(setting.choices) or type(setting.default).__name__
    default = str(setting.default)
    shown = default.lower() if kind == "bool" else default
    assert f"{setting.name} {setting.help} ({kind}: {shown})" in words


def test_the_help_on_the_shell_has_every_setting(hmp: str) -> None:
    done = subprocess.run([hmp, "--ui-help"], capture_output=True, text=True, check=True)
    assert describe_settings() in done.stdout
    assert max(map(len, describe_settings().splitlines())) < 80
