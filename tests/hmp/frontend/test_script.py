"""Lines without a prompt: `-c`, `--json`, and transcripts that are kept and replayed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(hmp: str, tmp_path: Path) -> Run:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [hmp, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


def test_lines_are_answered_without_a_prompt(run: Run) -> None:
    done = run("-M", "none", "-S", "-c", "info status", "-c", "info name", "-c", "cont")
    assert (done.stdout, done.stderr) == ("VM status: paused (prelaunch)\n", "")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("info status", 0),
        ("nosuch", 1),
        ("info", 0),
        ("loadvm a", 1),
        ("savevm -x", 1),
        ("info usbhost", 1),
        ("delvm", 1),
    ],
)
def test_the_status_tells_whether_all_went_well(line: str, status: int, run: Run) -> None:
    assert run("-M", "none", "-c", line, "-c", "info status").returncode == status


def test_quit_ends_a_script(run: Run) -> None:
    done = run("-M", "none", "-c", "quit", "-c", "info status")
    assert done.stdout == ""
    assert done.returncode == 0


def test_one_json_document_tells_of_all(run: Run) -> None:
    done = run("--json", "-c", "savevm a", "-c", "loadvm b", "-c", "info status")
    document = json.loads(done.stdout)
    assert [each["line"] for each in document["lines"]] == ["savevm a", "loadvm b", "info status"]
    assert [each["failed"] for each in document["lines"]] == [False, True, False]
    assert document["lines"][1]["answer"].startswith("Error: Snapshot 'b' does not exist")
    assert document["status"] == "paused (restore-vm)"
    assert done.returncode == 1


LINES = ("savevm a", "%run 2", "savevm b", "info snapshots", "xp /4x 0")


def test_a_transcript_is_replayed_to_the_byte(run: Run, tmp_path: Path) -> None:
    lines = [word for line in LINES for word in ("-c", line)]
    assert run("--deterministic", "--record", "kept", *lines).returncode == 0
    first, *rest = map(json.loads, (tmp_path / "kept").read_text().splitlines())
    assert first == {"arguments": ["-deterministic"]}
    assert [each["line"] for each in rest] == list(LINES)
    assert "2022-12-14 00:00:02 00:00:02.000" in rest[3]["answer"]
    done = run("--replay", "kept", "--check")
    assert (done.stdout, done.returncode) == ("", 0)
    assert run("--replay", "kept").stdout == "".join(each["answer"] for each in rest)


def test_a_difference_is_shown(run: Run, tmp_path: Path) -> None:
    run("-M", "none", "-S", "--record", "kept", "-c", "info status", "-c", "info version")
    done = run("-M", "none", "--replay", "kept", "--check")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "(qemu) info status",
        "--- recorded",
        "+++ now",
        "@@ -1 +1 @@",
        "-VM status: paused (prelaunch)",
        "+VM status: running",
    ]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"arguments": 5}', '{"arguments": []}\n{"line": "x"}', "\udcff"]
)
def test_what_is_no_transcript_is_refused(text: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = run("--replay", "kept", "--check")
    assert (done.stderr, done.returncode) == ("hmp: --replay kept: not a transcript\n", 1)


def test_a_transcript_that_cannot_be_kept_ends_the_program(run: Run) -> None:
    done = run("-M", "none", "--record", "no/such", "-c", "info status")
    assert done.stderr == "hmp: --record no/such: No such file or directory\n"
    assert done.returncode == 1
