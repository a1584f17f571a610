"""The records of QEMU's line editor, and the program that can be held against them."""

import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "oracle" / "readline"
TOY = [sys.executable, str(Path(__file__).with_name("toy.py"))]

_spec = importlib.util.spec_from_file_location("readline_records", FOLDER / "readline.py")
assert _spec is not None
assert _spec.loader is not None
runner = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runner)


def situations(transport: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of a group and a situation in it, those left out that a toy cannot know."""
    group = tomllib.loads((FOLDER / f"{transport}.toml").read_text())
    for situation in group["situation"]:
        topics = "topics of info" in situation["name"] or "the command" in situation["name"]
        needs = situation.get("needs")
        if needs in (None, "vnc") or (needs == "all-commands" and not topics):
            yield group, situation
