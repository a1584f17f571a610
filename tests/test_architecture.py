"""The rooms look in one direction, and few of them touch the world."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ["hmp", "machine", "blockdev"]  # an import may only point right
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))

# Which rooms alone may use what touches the world, or is heavy to import.
ONLY_IN = {
    "prompt_toolkit": {"hmp/frontend/terminal/"},
    "pygments": {"hmp/frontend/lexer.py"},
    # hmp.testing looks at the program from outside, as its users do.
    "socket": {"blockdev/sockets.py", "blockdev/net_sockets.py", "hmp/testing/"},
    "subprocess": {"machine/migration/channel.py", "hmp/testing/"},
    "asyncio": {"hmp/frontend/terminal/"},
}


def imported(path: Path) -> set[str]:
    """The top names of all modules that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add((node.module or "").partition(".")[0])
    return names


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_to_the_right(path: Path) -> None:
    own = FLOORS.index(path.relative_to(ROOT).parts[0])
    assert not imported(path) & set(FLOORS[:own])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_touches_the_world_has_one_room(path: Path) -> None:
    for module, rooms in ONLY_IN.items():
        if module in imported(path):
            name = name_of(path)
            assert any(name.startswith(room) for room in rooms), f"{module} belongs to {rooms}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_keep_to_one_noun(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= 600, f"{lines} lines: look for the second noun"


def test_the_block_layer_prints_nothing() -> None:
    for path in (ROOT / "blockdev").rglob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
