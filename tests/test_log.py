"""The log: its items, its file and its trace events, beside the real program's."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.session import PLAIN, Session, run_to_end
from tests.twin import check_session

# Those that both have; neither logs what the other doesn't do.
EVENTS = (
    "job_* vm_state_notify runstate* savevm_* loadvm_state* migrate_set* vmstate_load vmstate_save "
    "qemu_loadvm* handle_hmp_command"
).split()
DISK = ("-drive", "if=none,id=d,file=d.qcow2")


def make_disk(folder: Path) -> None:
    disk = ["qemu-img", "create", "-q", "-f", "qcow2", "d.qcow2", "1M"]
    subprocess.run(disk, cwd=folder, check=True)


def test_what_is_wanted_in_the_log(hmp: str, qemu: str) -> None:
    check_session(
        "-M none",
        """
        log tid
        logfile /
        log int
        logfile nosuch/folder
        log none
        logfile a-%s
        logfile a-%d-%d
        logfile here
        log tid
        log int,guest_errors
        log int,zz
        log none,int
        log trace:
        log trace:zz,zz
        log trace:-zz
        log trace:zz*
        log trace:savevm_section_start
        info trace-events savevm_section_start
        log none
        info trace-events savevm_section_s*t
        trace-event savevm_section_start off
        info trace-events savevm_section_start
        trace-event savevm_section_st* on
        info trace-events savevm_section_start
        trace-event zz on
        trace-event zz* on
        info trace-events ?avevm_section_start
        info trace-events savevm_section_start 0
        """,
        hmp,
        qemu,
    )


def test_an_event_is_of_no_single_processor(hmp: str, qemu: str) -> None:
    check_session(
        "-M isapc -S",
        """
        info trace-events savevm_section_start 0
        info trace-events savevm_section* 0
        trace-event savevm_section_start on 0
        trace-event savevm_section_start on 1
        """,
        hmp,
        qemu,
    )


def test_our_events_are_among_qemus_in_the_same_order(hmp: str, qemu: str, tmp_path: Path) -> None:
    ours, theirs = (
        run_to_end([program, "-trace", "help"], tmp_path)[1].split() for program in (hmp, qemu)
    )
    assert ours == [name for name in theirs if name in ours] != []


def _story(program: str, folder: Path) -> str:
    """What a program logs of snapshots and jobs, without addresses."""
    make_disk(folder)
    items = ",".join(f"trace:{name}" for name in EVENTS)
    unlike = ["-trace", "-qemu_loadvm_state_section_command"]  # nothing of the kind is sent
    session = Session([program, *PLAIN, *DISK, "-D", "log", "-d", items, *unlike], folder)
    for line in ("stop", "savevm a", "loadvm a", "cont", "loadvm nosuch", "block_job_cancel d"):
        session(line)
    session("drive_mirror d y")
    while "Completed" not in (jobs := session("info block-jobs")) or " 0 of" not in jobs:
        pass
    session("block_job_cancel d")
    while session("info block-jobs") != "No active jobs\n":
        pass
    session("system_reset")
    session.quit()
    text = re.sub(r"0x[0-9a-f]+", "<address>", (folder / "log").read_text())
    return re.sub(r"(.*cmdline: info block-jobs\n)+", "", text)


def test_snapshots_and_jobs_are_traced_as_qemu_traces_them(
    hmp: str, qemu: str, tmp_path: Path
) -> None:
    stories = []
    for name, program in (("ours", hmp), ("theirs", qemu)):
        folder = tmp_path / name
        folder.mkdir()
        stories.append(_story(program, folder))
    ours, theirs = stories
    assert "savevm_section_start ram, section_id 2\n" in theirs
    assert ours == theirs


def test_a_reset_is_logged_with_the_registers(hmp: str, qemu: str, tmp_path: Path) -> None:
    logs = []
    for name, program in (("ours", hmp), ("theirs", qemu)):
        machine = "-M pc -S -nodefaults -display none -monitor stdio -d cpu_reset -D".split()
        session = Session([program, *machine, f"{name}-start"], tmp_path)
        session(f"logfile {name}")
        session("system_reset")
        session("logfile elsewhere")
        session.quit()
        logs.append((tmp_path / name).read_text())
    ours, theirs = logs
    assert theirs.startswith("CPU Reset (CPU 0)\n")
    assert ours == theirs


WRONG = (
    "-d zz",
    "-d help",
    "-d int,none",
    "-D nosuch/x",
    "-D y%s",
    "-d tid",
    "-trace foo=1",
    "-trace events=nosuch",
)


@pytest.mark.parametrize("options", WRONG)
def test_what_the_command_line_may_not_ask_for(
    options: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    ours, theirs = (
        run_to_end([program, *options.split(), *PLAIN], tmp_path) for program in (hmp, qemu)
    )
    assert theirs[0] == 1
    assert ours == (1, theirs[1], theirs[2].replace("qemu-system-x86_64", "hmp"))


def test_events_come_from_a_file(hmp: str, qemu: str, tmp_path: Path) -> None:
    (tmp_path / "events").write_text("# not one\n\nzz\nsavevm_section*\n-savevm_section_end\nzz*\n")
    for program in (hmp, qemu):
        session = Session([program, *PLAIN, "-trace", "events=events"], tmp_path)
        assert "savevm_section_start : state 1" in session("info trace-events savevm_section_*")
        assert session("info trace-events savevm_section_end").endswith("state 0\n")
        session.quit()
        complaint = session.final_stderr.replace("qemu-system-x86_64", "hmp")
        assert complaint == "hmp:events:3: warning: trace event 'zz' does not exist\n"


def test_a_full_disk_takes_no_more_and_the_machine_goes_on(hmp: str, tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    session = Session([hmp, *PLAIN, "-D", "full", "-d", "trace:runstate_set"], tmp_path)
    session("stop")
    assert session("info status") == "VM status: paused\n"
    assert session.quit() == 0


def test_a_log_goes_to_standard_error_without_a_file(hmp: str, tmp_path: Path) -> None:
    session = Session([hmp, *PLAIN, "-d", "trace:vm_state_notify"], tmp_path)
    session("stop")
    session.quit()
    assert session.final_stderr.splitlines() == [
        "vm_state_notify running 1 reason 9 (running)",
        "vm_state_notify running 0 reason 4 (paused)",
    ]
