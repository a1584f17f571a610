"""What the tutorial shows is what comes."""

from pathlib import Path

from docs.transcripts import normal, renewed

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"


def test_the_tutorial_tells_the_truth(qemu_img: str, tmp_path: Path) -> None:
    text = TUTORIAL.read_text()
    assert text.count("(qemu) ") > 20
    assert normal(renewed(text, tmp_path)) == normal(text)


def test_what_is_made_normal_is_only_what_differs_from_run_to_run() -> None:
    before = "takes 4 clusters; 1.20 ms, 128 KiB written, 2 barriers"
    assert normal(before) == "takes 4 clusters; <time>, 128 KiB written, 2 barriers"
    assert normal("    timer/cpu_clock_offset: 1 -> 2") == "    timer/cpu_clock_offset: <ticks>"
    assert normal("a  clock 00:00:01.234, not") == "a  clock <clock>, not"
