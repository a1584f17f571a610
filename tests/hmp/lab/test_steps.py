"""`%explain` foretells in the same words in which `%trace` then tells."""

import re

import pytest

from tests.hmp.lab.conftest import Lab


def headings(text: str) -> list[str]:
    return re.findall(r"^\d+\. .*$", text, re.MULTILINE)


@pytest.mark.parametrize("is_running", [True, False])
def test_the_steps_foretold_are_those_that_happen(lab: Lab, is_running: bool) -> None:
    lab("%trace on")
    if is_running:
        lab("cont")
    for line in ("savevm a", "savevm a", "savevm b", "loadvm a", "delvm a", "delvm nowhere"):
        foretold = headings(lab(f"%explain {line}"))
        assert foretold
        assert headings(lab(line)) == foretold


def test_what_is_foretold_of_each_disk_is_told_of_it(lab: Lab) -> None:
    lab('qemu-io d0 "write -q 0 1M"')
    lab("%trace on")
    for line in ("savevm a", "savevm a", "loadvm a", "delvm a"):
        foretold = re.findall(r"^   (d\d: ID \d+[^;\n]*)", lab(f"%explain {line}"), re.MULTILINE)
        told = re.findall(r"^   (d\d: ID \d+[^;\n]*)", lab(line), re.MULTILINE)
        assert len(foretold) >= 2
        assert told[: len(foretold)] == foretold


def test_explaining_changes_nothing(lab: Lab) -> None:
    files = [lab.folder / "d0.qcow2", lab.folder / "d1.qcow2"]
    lab("savevm a")
    before = [file.read_bytes() for file in files]
    for line in ("savevm a", "savevm", "loadvm a", "delvm a"):
        assert "nothing of it is done yet" in lab(f"%explain {line}")
    assert [file.read_bytes() for file in files] == before
    assert lab.machine.head is not None
    assert lab.machine.head.tag == "a"


def test_a_step_that_fails_is_the_last_one_foretold(lab: Lab) -> None:
    text = lab("%explain loadvm nowhere")
    assert text.splitlines()[-1] == (
        "2. It fails there: Snapshot 'nowhere' does not exist in one or more devices"
    )


def test_explain_says_what_it_can_be_asked(lab: Lab) -> None:
    assert "savevm, loadvm, delvm" in lab("%explain info status")
    assert "unknown command: 'nothing'" in lab("%explain nothing")


def test_the_trace_tells_how_long_the_machine_stood_still(lab: Lab) -> None:
    lab("cont")
    lab("%trace on")
    assert re.search(r"^The machine stood still for [\d.]+ ms\.$", lab("savevm a"), re.MULTILINE)
    text = lab("loadvm nowhere")
    assert "The machine stays stopped, since the rest failed." in text
    assert "Error: Snapshot 'nowhere' does not exist" in text


def test_the_trace_tells_bytes_and_barriers(lab: Lab) -> None:
    lab("%trace on")
    text = lab("savevm a")
    for disk in ("d0", "d1"):
        assert re.search(rf"{disk}: ID 1, .*; [\d.]+ ms, \S+ \S+ written, 2 barriers", text)


def test_off_is_off(lab: Lab) -> None:
    lab("%trace on")
    lab("%trace on")
    assert lab("savevm a").count("In all: ") == 1
    lab("%trace off")
    assert lab("savevm a") == ""
    lab("%trace off")


def test_the_lines_fit_a_screen(lab: Lab) -> None:
    lab("cont")
    lab("savevm a")
    for line in ("savevm a", "loadvm a", "delvm a", "loadvm nowhere"):
        assert max(map(len, lab(f"%explain {line}").splitlines())) < 80
    lab("%trace on")
    for line in ("savevm a", "loadvm a", "delvm a"):
        assert max(map(len, lab(line).splitlines())) < 80
