"""What QEMU printed, line by line, from records of its monitor."""

import tomllib
from pathlib import Path

import pytest

from tests.hmp.trial import Session, TriedMachine

ORACLE = Path(__file__).resolve().parent.parent / "oracle"
PROMPT = "(qemu) "
SCENARIOS = [
    "cli-aliases",
    "cli-help",
    "cli-help-all",
    "cli-numbers",
    "cli-unknown",
    "dev-log",
    "info-basics",
    "mem-dump",
    "mem-none",
    "mem-save",
]


def answers(scenario: str) -> list[tuple[str, str]]:
    """The lines of a scenario and what was answered."""
    text = (ORACLE / f"{scenario}.out").read_text("utf-8")
    body = text.partition("--- stdout\n")[2].partition("\n--- stderr")[0]
    found: list[tuple[str, str]] = []
    for line in body.splitlines()[1:]:
        if line.startswith(PROMPT):
            found.append((line.removeprefix(PROMPT), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


class Stdio:
    label = "compat_monitor0"
    filename = "stdio"
    backend = "stdio"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_record(scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    arguments = tomllib.loads((ORACLE / f"{scenario}.toml").read_text("utf-8"))["args"]
    machine = TriedMachine("pc" if "pc" in arguments else "none", (16 << 20) * ("pc" in arguments))
    if "-name" in arguments:
        machine.name = arguments[arguments.index("-name") + 1]
    if "-uuid" in arguments:
        machine.uuid = arguments[arguments.index("-uuid") + 1]
    if "-S" not in arguments:
        machine.cont()
    machine.chardevs.append(Stdio())
    session = Session(machine)
    for line, answer in answers(scenario):
        if answer != "<version>\n":
            assert session(line) == answer, line
    assert machine.exceptions == []
    machine.close()


def test_help_of_everything_is_qemus_byte_for_byte(ask):
    ((_, everything), *_) = answers("cli-help-all")
    assert ask("help") == ask("?") == everything


def test_help_of_info_is_qemus_byte_for_byte(ask):
    found = dict(answers("cli-help"))
    assert ask("info") == ask("help info") == found["help info"]


@pytest.mark.parametrize("line", ["help", "help info", "help log", "help stop", "? q"])
def test_help_is_what_a_real_qemu_prints(line, ask, real):
    assert ask(line) == real(line)


@pytest.mark.parametrize(
    "line",
    [
        "help help",
        "help log x",
        'help "log"',
        "help stop nosuch",
        'help "info" block',
        'help ""',
        "help stop|s",
        "help a b",
        "help info a b",
        "help info " + "x " * 14,
        "help stop " + "x " * 15,
        "help stop " + "x " * 16,
        'help "',
        'help stop "',
        'help "a\\q"',
        "help " + "x" * 1100,
        "help balloon x y",
        "info usbhost",
        "info stats x",
        "info stats vm x bogus",
        "set_password vnc x bogus",
        "set_password vnc x",
        "set_password spice x",
        "set_password bogus x",
        "expire_password bogus x",
        "watchdog_action Reset",
        "watchdog_action noSuch",
        "sendkey a-b",
        "sendkey ctrl-alt-f1",
        "sendkey a-",
        "sendkey nosuch",
        "sendkey 0x1e",
        "sendkey <",
        "screendump x -f gif",
        "screendump x",
        "screendump x nosuch",
        "dump-guest-memory -z -l x",
        "dump-guest-memory x 0",
        "dump-guest-memory x",
        "client_migrate_info a b",
        "client_migrate_info spice b",
        "trace-event x on",
        "trace-event x* on 1",
        "info trace-events x 1",
        "log nosuch",
        "log int,",
        "log tid",
        "log trace:nosuch",
        "logfile x%s",
        "mouse_set 3",
        "balloon 5",
        "gdbserver",
        "replay_seek 1",
        "pcie_aer_inject_error x y",
        "info rocker x",
        "wavcapture x y",
        "info irq",
        "info pic",
        "info opcount",
        "info profile",
        "info sev",
        "info sgx",
        "info spice",
        "info virtio",
        "info usernet",
        "info ramblock",
        "info dirty_rate",
        "info vcpu_dirty_limit",
        "info numa",
        "info memdev",
        "x_colo_lost_heartbeat",
        "exit_preconfig",
        "nmi",
        "boot_set c",
        "system_wakeup",
        "closefd x",
        "dumpdtb x",
    ],
)
def test_answers_of_an_empty_machine_are_qemus(line, ask, real):
    assert ask(line) == real(line)
    assert ask.aside == real.aside
