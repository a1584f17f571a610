"""What a person sees: the program on a terminal of its own, judged by its screen."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.hmp.frontend.terminal.conftest import Start
from tests.hmp.frontend.terminal.emulator import Terminal

MIB = 1 << 20


def fill_memory(folder: Path, megabytes: int) -> list[str]:
    """Options for a machine whose memory isn't empty, so that saving it takes a while."""
    image = folder / "ram"
    image.write_bytes(bytes(range(1, 251)) * (MIB // 250 * megabytes))
    disk = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
    return [
        *("-M", "none", "-m", str(megabytes)),
        *("-drive", f"if=none,id=d0,file={disk}"),
        *("-device", f"loader,file={image},addr=0,force-raw=on"),
    ]


# --- the line


def test_the_menu_shows_commands_with_their_help(start: Start, size: tuple[int, int]) -> None:
    terminal = start(size=size)
    terminal.type("sav")
    terminal.wait_for("savevm  save a VM snapshot")
    terminal.type("\tx")
    terminal.wait_for("(qemu) savevmx")


def test_the_menu_shows_tags_with_date_and_size(start: Start) -> None:
    terminal = start()
    terminal.run("savevm before")
    terminal.type("loadvm ")
    terminal.wait_for("before")
    terminal.wait(lambda: "KiB" in terminal.text() and time.strftime("%Y-%m-") in terminal.text())


def test_a_chosen_entry_is_taken_before_the_line_is_run(start: Start) -> None:
    terminal = start()
    terminal.run("savevm one")
    terminal.type("delvm ")
    terminal.wait_for("KiB")
    terminal.type("\t\r")
    terminal.wait_for("(qemu) delvm one")
    terminal.settle()
    assert "Delete" not in terminal.text()
    terminal.type("\r")
    terminal.wait_for("Delete snapshot 'one' on disk0? [y/N]")


def test_what_the_monitor_would_refuse_is_marked(start: Start) -> None:
    terminal = start()
    terminal.type("info status extra")
    terminal.wait_style("extra", underscore=True)
    assert not terminal.style_of("status").underscore
    terminal.type("\x03bogus ")
    terminal.wait_style("bogus", underscore=True)
    terminal.type("\x03info st")
    terminal.wait_for("info st")
    terminal.settle()
    assert not terminal.style_of("info st").underscore, "it can still become something"


def test_the_line_has_colours(start: Start) -> None:
    terminal = start()
    terminal.type("info status")
    terminal.wait_style("status", fg="brightgreen")
    assert terminal.style_of("info").fg == "brightcyan"


def test_no_color_takes_colours_away(start: Start, size: tuple[int, int]) -> None:
    terminal = start(environment={"NO_COLOR": "1"}, size=size)
    terminal.run("savevm a")
    terminal.run("info snapshots")
    terminal.type("info bogus x")
    terminal.settle()
    cells = [terminal.screen.buffer[y][x] for y in range(size[1]) for x in range(size[0])]
    assert {cell.fg for cell in cells} == {"default"}
    assert {cell.bg for cell in cells} == {"default"}
    assert terminal.style_of("bogus").underscore
    assert terminal.style_of("running").reverse


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_themes_use_the_sixteen_colours(start: Start, theme: str) -> None:
    terminal = start(settings=f'theme = "{theme}"')
    terminal.run("savevm a")
    terminal.run("info snapshots")
    terminal.run("info block")
    terminal.type("loadvm ")
    terminal.wait_for("KiB")
    terminal.settle()
    assert b"38;5;" not in terminal.received
    assert b"48;5;" not in terminal.received
    assert b"8;2;" not in terminal.received
    assert terminal.style_of("(qemu)").fg == {"dark": "brightcyan", "light": "blue"}[theme]


def test_ctrl_c_clears_the_line(start: Start) -> None:
    terminal = start()
    terminal.type("info stat")
    terminal.wait_for("info stat")
    terminal.type("\x03")
    terminal.wait(terminal.is_at_prompt)


def test_help_for_the_word_under_the_cursor(start: Start) -> None:
    terminal = start()
    terminal.type("info snapshots")
    terminal.type("\x1bOP")
    terminal.wait_for("info snapshots  -- show the currently saved VM snapshots")
    terminal.wait_for("(qemu) info snapshots")
    terminal.type("\x1b[1~\x1bOP")
    terminal.wait_for("info [subcommand] -- show various information")


def test_history_lives_on(start: Start) -> None:
    terminal = start()
    terminal.run("info name")
    terminal.run("info version")
    terminal.type("\x04")
    terminal.wait_for("Quit?")
    terminal.type("y")
    assert terminal.wait_end() == 0
    terminal = start()
    terminal.type("info n")
    terminal.wait_for("info name")  # in grey, and not yet in the line
    terminal.type("\x03")
    terminal.wait(terminal.is_at_prompt)
    terminal.type("\x1b[A")
    terminal.wait_for("(qemu) info version")
    terminal.type("\x12name")
    terminal.wait_for("info name")
    history = next(Path(terminal.cwd, "state").rglob("history"))
    assert history.read_text().splitlines() == ["info name", "info version"]
    assert history.stat().st_mode & 0o777 == 0o600


def test_vi_keys(start: Start) -> None:
    terminal = start(settings='keys = "vi"')
    terminal.type("info nam")
    terminal.wait_for("info nam")
    terminal.type("\x1b")
    terminal.wait_for("navigation")
    terminal.type("$a")
    terminal.wait_for("insert")
    terminal.type("e\x1b")
    terminal.wait_for("navigation")
    terminal.type("dd")
    terminal.wait(terminal.is_at_prompt, "an empty line")


def test_wide_letters_and_resizing(start: Start) -> None:
    terminal = start(settings="[confirm]\ndelete = false\n")
    terminal.run("savevm 日本語é")
    terminal.run("info snapshots")
    assert "日本語é" in terminal.text().replace("\x00", "").replace(" ", "")
    terminal.type("loadvm ")
    terminal.wait_for("KiB")
    terminal.resize(50, 12)
    terminal.wait(lambda: terminal.lines()[-1].startswith(" running"), "the bar at its new place")
    terminal.resize(100, 30)
    terminal.wait(lambda: terminal.lines()[-1].startswith(" running"), "the bar at its new place")
    terminal.type("日本語é\r")
    terminal.wait(terminal.is_at_prompt)
    assert "Error" not in terminal.text()


def test_small_windows(start: Start) -> None:
    terminal = start(size=(20, 5))
    terminal.run("info status")
    terminal.run("savevm a")
    terminal.type("info snapshots\r")
    terminal.wait_for(" lines")
    terminal.type("q")
    terminal.wait_gone(" lines")
    terminal.wait(terminal.is_at_prompt)
    terminal.resize(8, 2)
    terminal.type("stop\r")
    terminal.settle()
    terminal.resize(60, 10)
    terminal.wait_for("paused")


# --- pastes


def test_a_paste_runs_line_by_line(start: Start) -> None:
    terminal = start()
    terminal.paste("savevm one\ninfo status\nsavevm two\ninfo sna")
    terminal.wait_for("VM status: running")
    terminal.wait_for("(qemu) info sna")
    terminal.type("pshots\r")
    terminal.wait(terminal.is_at_prompt)
    lines = terminal.lines()
    assert any("--        one" in line for line in lines)
    assert any("--        two" in line for line in lines)


def test_a_megabyte_of_one_line_is_cut_as_the_monitor_cuts_it(start: Start) -> None:
    terminal = start()
    terminal.paste("print 1" + " " * MIB)
    terminal.settle(1.0)
    terminal.type("\r")
    terminal.wait(terminal.is_at_prompt)
    terminal.run("info status")
    assert "VM status: running" in terminal.text()


def test_a_paste_that_the_terminal_does_not_mark_is_one_too(start: Start) -> None:
    terminal = start()
    terminal.type("print 1" + " " * (MIB // 8) + "\rinfo name\r" + "info status\r" * 30)
    terminal.wait_for("VM status: running")
    terminal.wait(terminal.is_at_prompt)
    terminal.run("info version")
    assert "7.2" in terminal.text()


def test_stopping_the_program_and_going_on(hmp: str, tmp_path: Path) -> None:
    """Ctrl-Z gives the shell that started it its terminal back; fg brings the line back."""
    terminal = Terminal(["sh", "-i"], tmp_path, environment={"PS1": "$ ", "ENV": ""})
    try:
        terminal.wait_for("$")
        terminal.type(f"{hmp} -M none\r")
        terminal.wait(terminal.is_at_prompt)
        terminal.type("info na\x1a")
        terminal.wait_for("Stopped")
        terminal.wait(lambda: terminal.lines()[terminal.screen.cursor.y] == "$", "its prompt")
        terminal.type("stty -a | grep -o -w -e -*icanon -e -*echo -e -*isig\r")
        terminal.wait(lambda: {"icanon", "echo", "isig"} <= set(terminal.lines()))
        terminal.type("fg\r")
        terminal.wait_for("(qemu) info na")
        terminal.type("me\r")
        terminal.wait(terminal.is_at_prompt)
    finally:
        terminal.close()


def test_a_megabyte_of_lines_can_be_given_up(start: Start) -> None:
    terminal = start()
    terminal.paste("info status\n" * (MIB // 12))
    terminal.wait_for("VM status: running")
    terminal.type("\x03")
    terminal.settle(1.0)
    terminal.run("info name")
    assert terminal.is_at_prompt()


# --- the bar


def test_the_bar_says_how_the_machine_stands(start: Start, size: tuple[int, int]) -> None:
    terminal = start(size=size)
    terminal.wait_for("no snapshot yet")
    terminal.wait_for("state to disk0")
    terminal.run("savevm base")
    terminal.wait_for("at base unchanged")
    terminal.run('qemu-io disk0 "write 0 128k"')
    terminal.wait_for("at base +2 clusters")
    terminal.run("stop")
    terminal.wait_for(" paused ")
    terminal.run("loadvm base")
    terminal.wait_for("at base unchanged")
    assert terminal.lines()[-1].startswith(" paused")


def test_the_bar_can_be_left_away(start: Start) -> None:
    terminal = start(settings="bar = false")
    terminal.settle()
    assert terminal.lines()[-1] == ""


def test_the_clock_goes_on(start: Start) -> None:
    terminal = start()
    terminal.wait_for("00:00:01")
    terminal.wait_for("00:00:02")


# --- answers


def test_tables_keep_their_text(start: Start) -> None:
    terminal = start()
    terminal.run("savevm a")
    lines = terminal.run("info snapshots")
    heading = lines.index("List of snapshots present on all disks:")
    assert lines[heading + 1] == (
        "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT"
    )
    assert lines[heading + 2].startswith("--        a                36.8 KiB ")
    assert terminal.style_of("TAG  ").bold
    assert terminal.style_of("36.8 KiB").fg != "default"


def test_errors_stand_out(start: Start) -> None:
    terminal = start()
    terminal.run("loadvm none")
    text = "Error: Snapshot 'none' does not exist in one or more devices"
    assert terminal.style_of(text).fg == "brightred"


def test_a_long_answer_has_pages(start: Start, size: tuple[int, int]) -> None:
    terminal = start(size=size)
    terminal.type("help\r")
    terminal.wait_for("of 172 lines")
    assert "announce_self" in terminal.text()
    terminal.type("G")
    terminal.wait_for("172 of 172 lines")
    assert "xp /fmt addr" in terminal.text()
    terminal.type("g")
    terminal.wait_for("announce_self")
    terminal.type("/loadvm tag\r")
    terminal.wait_for("loadvm tag -- restore")
    terminal.type("q")
    terminal.wait_gone("of 172 lines")
    terminal.wait(terminal.is_at_prompt)
    assert "(qemu) help" in terminal.text()
    assert "announce_self" not in terminal.text()


def test_the_pager_can_be_left_away(start: Start) -> None:
    terminal = start(settings="pager = false")
    terminal.run("help")
    assert "xp /fmt addr -- physical memory dump" in terminal.text()


# --- questions


def test_a_tag_that_exists_is_asked_about(start: Start) -> None:
    terminal = start()
    terminal.run("savevm a")
    terminal.type("savevm a\r")
    terminal.wait_for("Replace snapshot 'a' on disk0? [y/N]")
    terminal.type("n")
    terminal.wait(terminal.is_at_prompt)
    terminal.type("delvm a\r")
    terminal.wait_for("Delete snapshot 'a' on disk0? [y/N]")
    terminal.type("y")
    terminal.wait(terminal.is_at_prompt)
    terminal.run("info snapshots")
    assert "There is no snapshot available." in terminal.text()


@pytest.mark.parametrize("how", ["option", "settings"])
def test_nothing_is_asked_where_nothing_is_to_be(start: Start, how: str) -> None:
    if how == "option":
        terminal = start("--yes")
    else:
        terminal = start(settings="[confirm]\ndelete = false\noverwrite = false\nquit = false\n")
    terminal.run("savevm a")
    terminal.run("savevm a")
    terminal.run("delvm a")
    terminal.run("info snapshots")
    assert "There is no snapshot available." in terminal.text()
    terminal.type("\x04")
    assert terminal.wait_end() == 0


def test_ctrl_d_asks_and_twice_means_yes(start: Start) -> None:
    terminal = start()
    terminal.type("\x04")
    terminal.wait_for("Quit? [y/N]")
    terminal.type("n")
    terminal.wait(terminal.is_at_prompt)
    terminal.type("\x04")
    terminal.wait(lambda: terminal.text().count("Quit? [y/N]") == 2)
    terminal.type("\x04")
    assert terminal.wait_end() == 0


# --- long work


def test_long_work_shows_how_far_it_is(start: Start, tmp_path: Path, qemu_img: str) -> None:
    terminal = start(*fill_memory(tmp_path, 512))
    terminal.type("savevm big\r")
    terminal.wait_for("Ctrl-C cancels")
    line = next(line for line in terminal.lines() if "Ctrl-C cancels" in line)
    assert line.startswith("savevm ━")
    assert "MiB" in line
    assert "%" in line
    terminal.wait(terminal.is_at_prompt)
    terminal.settle()
    assert "Ctrl-C cancels" not in terminal.text()
    assert terminal.lines()[3].startswith("(qemu)")
    assert terminal.lines()[3].endswith(" s"), "the time it took, at the right"
    terminal.run("info snapshots")
    assert "big" in terminal.text()


def test_ctrl_c_cancels_long_work(start: Start, tmp_path: Path, qemu_img: str) -> None:
    terminal = start(*fill_memory(tmp_path, 512))
    terminal.run("savevm before")
    terminal.type("savevm big\r")
    terminal.wait_for("Ctrl-C cancels")
    terminal.type("\x03")
    terminal.wait_for("Error: Operation canceled")
    terminal.wait(terminal.is_at_prompt)
    terminal.run("info status")
    assert "VM status: running" in terminal.text()
    terminal.run("info snapshots")
    assert "before" in terminal.text()
    assert "--        big" not in terminal.text()
    terminal.type("\x04\x04")
    assert terminal.wait_end() == 0
    check = subprocess.run(["qemu-img", "check", tmp_path / "disk.qcow2"], check=True)
    assert check.returncode == 0


# --- others at the same machine


def test_an_event_while_typing_tears_nothing(start: Start, tmp_path: Path) -> None:
    terminal = start(
        "--ui", "rich", "-M", "none", "-monitor", f"unix:{tmp_path}/other,server=on,wait=off"
    )
    terminal.type("info bl")
    terminal.wait_for("(qemu) info bl")
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(f"{tmp_path}/other")
        other.sendall(b"stop\n")
        terminal.wait_for("STOP")
        terminal.wait_for("(qemu) info bl")
        terminal.wait_for(" paused ")
        other.sendall(b"cont\n")
        terminal.wait_for("RESUME")
    terminal.type("ock")
    terminal.wait_for("(qemu) info block")
    lines = terminal.lines()
    stop = next(i for i, line in enumerate(lines) if line.endswith(" STOP"))
    resume = next(i for i, line in enumerate(lines) if line.endswith(" RESUME"))
    assert stop < resume < lines.index("(qemu) info block")


def test_events_while_the_terminal_is_slow_to_answer_move_nothing(
    start: Start, tmp_path: Path
) -> None:
    terminal = start(
        "--ui", "rich", "-M", "none", "-monitor", f"unix:{tmp_path}/other,server=on,wait=off"
    )
    top = terminal.lines()[0]
    with terminal.answering_late(), socket.socket(socket.AF_UNIX) as other:
        other.connect(f"{tmp_path}/other")
        other.sendall(b"stop\ncont\n" * 5)
        terminal.wait(lambda: terminal.late_answers >= 1)
        terminal.settle()
    terminal.wait(lambda: terminal.text().count("RESUME") == 5)
    terminal.settle()
    lines = terminal.lines()
    assert lines[0] == top, "nothing has scrolled away"
    assert lines[lines.index("(qemu)") - 1].endswith(" RESUME")
    assert "F1 help" in lines[-1]


def test_the_bar_tells_how_far_a_migration_is(start: Start, tmp_path: Path) -> None:
    terminal = start("--ui", "rich", *fill_memory(tmp_path, 16))
    terminal.run("migrate_set_parameter max-bandwidth 1M")
    terminal.run('migrate -d "exec:cat > stream"')
    terminal.wait_for(" migrate (active, 15 MiB left) ")
    terminal.wait_for(" migrate (active, 14 MiB left) ")
    terminal.run("migrate_cancel")
    terminal.wait_gone("MiB left")


def test_another_monitor_can_end_the_program(start: Start, tmp_path: Path) -> None:
    terminal = start(
        "--ui", "rich", "-M", "none", "-monitor", f"unix:{tmp_path}/other,server=on,wait=off"
    )
    terminal.type("half a li")
    terminal.wait_for("half a li")
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(f"{tmp_path}/other")
        other.sendall(b"quit\n")
        assert terminal.wait_end() == 0
    assert "Traceback" not in terminal.text()


# --- ends


def test_a_closed_terminal_ends_the_program_and_loses_nothing(
    start: Start, tmp_path: Path, qemu_img: str
) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    terminal = start("-M", "none", "-drive", f"if=none,id=d0,file={disk}")
    terminal.run('qemu-io d0 "write -P 7 0 1M"')
    terminal.run("savevm kept")
    terminal.type("savevm half-typ")
    terminal.wait_for("half-typ")
    terminal.hang_up()
    check = subprocess.run([qemu_img, "check", disk], capture_output=True, text=True, check=False)
    assert "No errors were found" in check.stdout
    listing = subprocess.run([qemu_img, "snapshot", "-l", disk], capture_output=True, check=True)
    assert b"kept" in listing.stdout
    log = tmp_path / "state" / "hmp" / "errors.log"
    assert not log.exists(), log.read_text()


@pytest.mark.parametrize("where", ["pager", "question", "savevm"])
def test_a_terminal_may_be_closed_at_any_time(
    start: Start, tmp_path: Path, qemu_img: str, where: str
) -> None:
    terminal = start(*fill_memory(tmp_path, 512 if where == "savevm" else 16))
    terminal.run('qemu-io d0 "write -P 7 0 1M"')
    terminal.run("savevm kept")
    if where == "pager":
        terminal.type("help\r")
        terminal.wait_for("of 172 lines")
    elif where == "question":
        terminal.type("delvm kept\r")
        terminal.wait_for("[y/N]")
    else:
        terminal.type("savevm big\r")
        terminal.wait_for("Ctrl-C cancels")
    assert terminal.hang_up() == 0
    disk = tmp_path / "disk.qcow2"
    check = subprocess.run([qemu_img, "check", disk], capture_output=True, text=True, check=False)
    assert "No errors were found" in check.stdout
    listing = subprocess.run([qemu_img, "snapshot", "-l", disk], capture_output=True, check=True)
    assert b"kept" in listing.stdout
    assert (b"big" in listing.stdout) == (where == "savevm")
    log = tmp_path / "state" / "hmp" / "errors.log"
    assert not log.exists(), log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_it_as_they_end_the_plain_one(start: Start, number: signal.Signals) -> None:
    terminal = start()
    os.kill(terminal.pid, number)
    assert terminal.wait_end() == 0
    assert f"terminating on signal {number.value} from pid {os.getpid()}" in terminal.text()
    assert "Traceback" not in terminal.text()


def test_the_terminal_is_left_as_it_was(hmp: str, tmp_path: Path) -> None:
    terminal = Terminal(["sh", "-c", f"stty -a; {hmp} --yes; stty -a; read line"], tmp_path)
    try:
        terminal.wait(terminal.is_at_prompt)
        terminal.type("\x04")
        terminal.wait(lambda: terminal.received.count(b"speed") == 2)
        terminal.wait(lambda: terminal.received.count(b"echoke") == 2)
        before, after = terminal.received.split(b"speed")[1:]
        assert before.splitlines()[1:5] == after.splitlines()[1:5]
    finally:
        terminal.close()


def test_without_options_there_is_a_machine_to_try(hmp: str, tmp_path: Path) -> None:
    terminal = Terminal([hmp], tmp_path)
    try:
        terminal.wait(terminal.is_at_prompt)
        terminal.run("savevm a")
        terminal.wait_for("at a")
        terminal.wait_for("+2 pages +1 cluster")  # the guest counts in memory and on the disk
    finally:
        terminal.close()


# --- which front end


def test_a_pipe_and_a_dumb_terminal_get_the_plain_one(hmp: str, tmp_path: Path) -> None:
    for argv, variables in (
        (["sh", "-c", f"echo quit | {hmp} | cat; echo"], {}),
        ([hmp], {"TERM": "dumb"}),
        ([hmp], {"HMP_UI": "plain"}),
        ([hmp, "-M", "none", "-monitor", "stdio"], {}),
        ([hmp, "-M", "none", "-nographic"], {}),
        ([hmp, "--ui", "plain"], {"HMP_UI": "rich"}),
    ):
        terminal = Terminal(argv, tmp_path, environment=variables)
        try:
            terminal.wait_for("QEMU 7.2.0 monitor")
            terminal.wait_for("(qemu)")
            assert "F1" not in terminal.text(), argv
        finally:
            terminal.close()
