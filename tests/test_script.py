"""A script written for QEMU's monitor runs against both programs and sees the same."""

import re
import subprocess
from pathlib import Path

import pexpect

PROMPT = "(qemu) "
ARGUMENTS = (
    "-M none -nodefaults -display none -m 16 -monitor stdio -drive if=none,file=d.qcow2,id=d0"
)


def script(program: str, folder: Path) -> tuple[list[str], int | None]:
    """What somebody would write for ``qemu-system-x86_64 -monitor stdio``."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "d.qcow2", "4M"], cwd=folder, check=True
    )
    answers = []
    child = pexpect.spawn(program, ARGUMENTS.split(), cwd=str(folder), timeout=20, encoding="utf-8")
    child.expect_exact("monitor - type 'help' for more information")
    child.expect_exact(PROMPT)
    for line in (
        "info status",
        "savevm first",
        'qemu-io d0 "write -P 7 0 64k"',
        "savevm second",
        "stop",
        "info status",
        "loadvm first",
        'qemu-io d0 "read -P 7 0 64k"',
        "loadvm nosuch",
        "cont",
        "info snapshots",
        "delvm first",
        "delvm",
        "info snapshots",
        "no such command",
        "info block",
    ):
        child.sendline(line)
        child.expect_exact(PROMPT)
        # The echo is drawn anew for each byte; the answer begins behind its line break.
        answers.append(child.before.partition("\r\r\n")[2])
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()
    return answers, child.exitstatus


def normal(text: str) -> str:
    text = re.sub(r"[\d.]+ [KM]iB (?=\d{4}-)", "<size> ", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d:.]+", "<date>", text)
    text = re.sub(r"#block\d+", "#block<n>", text)
    return re.sub(r"ops; .*\)", "ops; <time>", text)


def test_one_script_sees_the_same_in_both_programs(
    hmp: str, qemu: str, qemu_img: str, tmp_path: Path
) -> None:
    ours, our_status = script(hmp, tmp_path)
    tags = subprocess.run(
        [qemu_img, "snapshot", "-l", "d.qcow2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    theirs, their_status = script(qemu, tmp_path)
    real_tags = subprocess.run(
        [qemu_img, "snapshot", "-l", "d.qcow2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [normal(answer) for answer in ours] == [normal(answer) for answer in theirs]
    assert our_status == their_status == 0
    assert normal(tags) == normal(real_tags)
    assert "second" in tags
