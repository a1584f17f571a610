"""Which front end one gets: by option, by variable, by what standard input and output are."""

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence

import pytest

from blockdev.errors import QemuError
from hmp.command_line.options import parse
from hmp.frontend.choice import PLAIN, RICH, choose_front_end


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("HMP_UI", raising=False)


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ([], {}, RICH),
        (["-M", "none"], {}, RICH),
        ([], {"TERM": "dumb"}, PLAIN),
        ([], {"TERM": ""}, PLAIN),
        ([], {"HMP_UI": "plain"}, PLAIN),
        ([], {"HMP_UI": ""}, RICH),
        (["--ui", "rich"], {"HMP_UI": "plain"}, RICH),
        (["--ui", "plain"], {"HMP_UI": "rich"}, PLAIN),
        (["--ui", "plain", "--ui", "rich"], {}, RICH),
        (["--ui", "rich"], {"TERM": "dumb"}, RICH),
        (["-monitor", "stdio"], {}, PLAIN),
        (["-monitor", "unix:x,server=on,wait=off"], {}, PLAIN),
        (["-monitor", "unix:x,server=on,wait=off", "--ui", "rich"], {}, RICH),
        (["-nographic"], {}, PLAIN),
    ],
)
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    expected: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choose_front_end(parse(arguments)) == expected


@pytest.mark.usefixtures("on_a_terminal")
def test_standard_input_is_given_once() -> None:
    with pytest.raises(QemuError, match="another option has standard input already"):
        choose_front_end(parse(["--ui", "rich", "-monitor", "stdio"]))


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize("how", ["option", "variable"])
def test_no_such_front_end(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("HMP_UI", "nice")
    with pytest.raises(QemuError, match="nice: no such front end; there are plain and rich"):
        choose_front_end(parse(["--ui", "nice"] if how == "option" else []))


def test_without_a_terminal_there_is_no_shell(hmp: str) -> None:
    done = subprocess.run(
        [hmp, "--ui", "rich"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "hmp: --ui rich: standard input and output must be a terminal\n"


def test_bad_settings_that_were_asked_for_end_the_program(hmp: str, tmp_path: object) -> None:
    """One sentence, exit status 1."""
    file = f"{tmp_path}/config"
    with open(file, "w") as config:
        config.write("theme = 7\n")
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [hmp, "--config", file, "-M", "none"],
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=20,
            env={**os.environ, "TERM": "xterm"},
        )
    finally:
        os.close(controller)
        os.close(terminal)
    sentence = "theme: expects one of auto, dark, light, mono"
    assert done.stderr == f"hmp: --config {file}: {sentence}\n"
    assert done.returncode == 1
