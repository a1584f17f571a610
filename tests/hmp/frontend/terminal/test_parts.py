"""The bar, the progress line and the keyboard, without a terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.utils import get_cwidth

from blockdev.qcow2.create import create_image
from hmp.frontend.terminal.answers import Fragments
from hmp.frontend.terminal.bar import bar
from hmp.frontend.terminal.keyboard import gather
from hmp.frontend.terminal.progress import Progress
from tests.hmp.trial import Session, TriedMachine


def text_of(fragments: Fragments) -> str:
    return "".join(text for _, text in fragments)


# --- the bar


@pytest.mark.parametrize("tag", ["plain", "t" * 300, "日本語" * 20, "new\\nline", "\x0e\x9b31m"])
def test_the_bar_fits_any_screen(machine: TriedMachine, tmp_path: Path, tag: str) -> None:
    create_image(f"{tmp_path}/d", 1 << 20)
    options = {"if": "none", "id": "d0", "file": f"{tmp_path}/d"}
    machine.drives.add(options, text="-drive", snapshot=False)
    assert "no snapshot yet" in text_of(bar(machine, 100))
    assert Session(machine)(f'savevm "{tag}"') == ""
    assert "state to d0" in text_of(bar(machine, 200))
    for columns in range(1, 140):
        text = text_of(bar(machine, columns, "insert"))
        assert "\n" not in text
        assert get_cwidth(text) <= columns
        assert text.startswith(" paused"[:columns])


def test_without_a_disk_the_state_has_no_place(machine: TriedMachine) -> None:
    assert "state to nowhere" in text_of(bar(machine, 100))


# --- progress


class Line:
    """What a screen of one line shows of a command's progress."""

    def __init__(self, name: str, columns: int) -> None:
        self.text = ""
        self.seconds = 0.0
        self.progress = Progress(
            name,
            columns=lambda: columns,
            draw=self._draw,
            erase=self._erase,
            now=lambda: self.seconds,
        )

    def _draw(self, fragments: Fragments) -> None:
        assert self.text == "", "it draws over what is there"
        self.text = text_of(fragments)

    def _erase(self) -> None:
        self.text = ""


def test_short_work_shows_nothing() -> None:
    line = Line("savevm", 80)
    line.progress.show((1, 2))
    line.seconds = 0.1
    line.progress.show((1, 2))
    line.progress.hide()
    assert line.text == ""


def test_long_work_shows_share_speed_and_time_left() -> None:
    line = Line("savevm", 80)
    line.seconds = 2.0
    line.progress.show((256 << 20, 1024 << 20))
    assert line.text.startswith("savevm ━")
    for part in (" 25% ", "256 MiB of 1 GiB", "128 MiB/s", "6 s left", "Ctrl-C cancels"):
        assert part in line.text
    line.seconds = 1000.0
    line.progress.show((256 << 20, 1024 << 20))
    assert "50 min left" in line.text
    line.progress.hide()
    assert line.text == ""


STEPS = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.tuples(st.integers(0, 1 << 60), st.integers(0, 1 << 60)),
)


@given(STEPS, st.integers(1, 200), st.floats(0.2, 1e6))
def test_the_line_is_one_line_on_any_screen(step: object, columns: int, seconds: float) -> None:
    line = Line("migrate_incoming", columns)
    line.seconds = seconds
    line.progress.show(step)
    assert get_cwidth(line.text) < max(columns, 1)


# --- the keyboard


def presses(text: str) -> list[KeyPress]:
    keys: dict[str, Callable[[], KeyPress]] = {
        "\r": lambda: KeyPress(Keys.ControlM, "\r"),
        "\x03": lambda: KeyPress(Keys.ControlC, "\x03"),
    }
    return [keys[letter]() if letter in keys else KeyPress(letter, letter) for letter in text]


def test_what_a_person_types_stays_keys() -> None:
    keys = presses("info status\r" * 5)
    assert gather(keys) == keys


def test_much_at_once_is_a_paste() -> None:
    text = "info status\r" * 50
    assert gather(presses(text)) == [KeyPress(Keys.BracketedPaste, text)]


def test_ctrl_c_is_a_key_in_any_case() -> None:
    text = "x" * 200
    assert gather(presses(f"{text}\x03ab")) == [
        KeyPress(Keys.BracketedPaste, text),
        *presses("\x03ab"),
    ]


@given(st.lists(st.sampled_from(["a", "\r", "\x03", "b" * 130, "c\r" * 70])))
def test_no_letter_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    assert "".join(key.data for key in gather(presses(text))) == text
