"""Two thousand lines that are almost right, and what both programs answer to each."""

from pathlib import Path

import pytest

from tests.hmp.duel import NONE, PC, Duel
from tests.hmp.near_misses import near_misses


@pytest.mark.parametrize("machine", [NONE, PC], ids=["none", "pc"])
def test_each_line_is_answered_as_qemu_answers_it(
    machine: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    with Duel(hmp, qemu, machine, tmp_path) as duel:
        count = duel.fight(near_misses(seed=1, for_each=12))
    assert count > 2000
    assert duel.differences == []
