"""Every record of the real monitor, compared whole."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent / "oracle"
SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_runner(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"runner_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


oracle = load_runner(FOLDER / "oracle.py")
readline = load_runner(FOLDER / "readline" / "readline.py")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_monitor_prints_what_the_real_one_printed(
    name: str, hmp: str, qemu_img: str, qemu_io: str
) -> None:
    path = FOLDER / f"{name}.toml"
    got = oracle.run(oracle.load(path), hmp)
    wanted = path.with_suffix(".out").read_text("utf-8")
    assert got == wanted


GROUPS = ("unix", "tcp", "telnet", "pty", "pipe")
BEYOND = {"network", "vnc", "device-models"}


def situations() -> list[object]:
    import tomllib

    found = []
    for name in GROUPS:
        group = tomllib.loads((FOLDER / "readline" / f"{name}.toml").read_text())
        for situation in group["situation"]:
            if situation.get("needs") not in BEYOND:
                found.append(pytest.param(group, situation, id=f"{name}: {situation['name']}"))
    return found


@pytest.mark.parametrize(("group", "situation"), situations())
def test_the_line_editor_answers_byte_for_byte(
    group: dict[str, object], situation: dict[str, list[list[str]]], hmp: str
) -> None:
    answers = readline.run([hmp], group, situation, False)
    assert len(answers) == len(situation["steps"])
    for (sent, wanted), got in zip(situation["steps"], answers, strict=True):
        assert readline.show(got) == wanted, f"after {sent}"
