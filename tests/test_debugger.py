"""A debugger at the machine, beside the real program's: packets, `gdbserver`, ``-gdb``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.chardev.device import RingBuffer
from machine.gdb.packet import PacketReader, escape, pack
from machine.gdb.stub import GdbStub
from tests.gdb import Debugger
from tests.hmp.trial import TriedMachine
from tests.session import Session, run_to_end
from tests.twin import check_session


@contextmanager
def debugged(
    program: str, folder: Path, board: str, *, waits: bool = True
) -> Iterator[tuple[Session, Debugger]]:
    """A machine with a debugger; one that waits is told to by its options."""
    words = ["-M", board, "-m", "16", "-nodefaults", "-display", "none", "-monitor", "stdio"]
    words += ["-S"] if waits else []
    session = Session([program, *words, "-gdb", "unix:gdb,server=on,wait=off"], folder)
    try:
        with Debugger(str(folder / "gdb")) as debugger:
            yield session, debugger
            if session.process.poll() is None:
                session.quit()
    finally:
        if session.process.poll() is None:
            session.process.kill()
            session.wait()


QUESTIONS = """
?
qC
g
p0
qXfer:features:read:target.xml:0,10
p0 p2 pf p10 p11 p12 p18 p1b p20 p21 p29 p2a p31 p41 p42 p99
P0=0102030405060708 P10=f0ff000000000000 P12=3412000000000000 P99=00 P0
p0 p12 g
G0102030405060708 p0
Hg2 g Hg1 Hg0 Hc-1 Hg5 Hgp2.1 Hx1 H T T1 T9
qfThreadInfo qsThreadInfo qsThreadInfo qThreadExtraInfo,1
m0 m0,900 mzz,1 m m0,10 mfffffff0,10 m100000000,4
M1000,4:deadbeef m1000,4 M0,1 M1,1:zz M1000,4:de Mfffff0,2:0000
Z0 Z0,1 Z0,fff0,1 Z1,fff0,1 Z2,1000,3 Z3,1000,8 Z4,1000,1 Z9,1,1
z0,fff0,1 z0,fff0,1 z2,1000,3 z1,123,1
qRcmd qRcmd, qXfer:features:read qXfer:features:read:target.xml qXfer:features:write:x:0,1
qXfer:features:read:target.xml:0,ffb qXfer:features:read:nosuch:0,10
qXfer:features:read:target.xml:300,10
qqemu qqemu.sstepbits qqemu.sstep Qqemu.sstep=zz Qqemu.sstep=5 qqemu.sstep
Qqemu.PhyMemMode:1 qqemu.PhyMemMode
qAttached qAttached:1 qOffsets qTStatus QStartNoAckMode vMustReplyEmpty vCont?
R X ! vAttach vAttach;2 vAttach;1
s vCont;s:1 vCont;c:1;s:9 vCont;t
qSupported:swbreak+;multiprocess+
? qfThreadInfo qC s vCont;s:p1.1;c:p1.-1
"""


@pytest.mark.parametrize("board", ["isapc", "pc"])
def test_questions_are_answered_as_qemu_answers_them(
    board: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    answers = []
    for name, program in (("ours", hmp), ("theirs", qemu)):
        folder = tmp_path / name
        folder.mkdir()
        with debugged(program, folder, board) as (_, debugger):
            answers.append([(each, debugger.ask(each)) for each in QUESTIONS.split()])
    ours, theirs = answers
    # A real processor takes its step; ours stays where it was, which only registers would show.
    assert ours == theirs


@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_a_machine_goes_on_and_is_stopped(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = request.getfixturevalue(which)
    with debugged(program, tmp_path, "isapc") as (session, debugger):
        assert debugger.ask("?") == "T05thread:01;"
        debugger.tell("c")
        assert session("info status") == "VM status: running\n"
        debugger.send(b"\x03")
        assert debugger.receive() == "T02thread:01;"
        assert session("info status") == "VM status: paused\n"
        debugger.tell("vCont;c")
        session("stop")
        assert debugger.receive() == "T02thread:01;"
        assert debugger.ask("s") == "T05thread:01;"
        assert session("info status") == "VM status: paused (debug)\n"
        assert debugger.ask("D") == "OK"
        assert session("info status") == "VM status: running\n"


@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_a_machine_that_runs_is_stopped_for_a_debugger(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = request.getfixturevalue(which)
    with debugged(program, tmp_path, "isapc", waits=False) as (session, debugger):
        assert debugger.receive() == "T02thread:01;"
        assert session("info status") == "VM status: paused\n"
        assert "gdb: filename=unix:gdb,server=on" in session("info chardev").replace(
            "disconnected:", ""
        )


@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_a_debugger_uses_the_monitor(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = request.getfixturevalue(which)
    with debugged(program, tmp_path, "isapc") as (_, debugger):
        answer = debugger.ask(f"qRcmd,{b'info status'.hex()}")
        assert bytes.fromhex(answer.removeprefix("O")) == b"VM status: paused (prelaunch)\r\n"
        assert debugger.receive() == "OK"


@pytest.mark.parametrize("end", ["k", "vKill;1"])
@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_a_debugger_ends_the_program(
    which: str, end: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = request.getfixturevalue(which)
    with debugged(program, tmp_path, "isapc") as (session, debugger):
        answer = debugger.ask(end)
        if end != "k":
            assert answer == "OK"
            answer = debugger.receive()
        assert answer == "W00"
        assert session.wait() == 0
        assert session.final_stderr.endswith("QEMU: Terminated via GDBstub\n")


def test_the_description_names_each_register_once(hmp: str, tmp_path: Path) -> None:
    with debugged(hmp, tmp_path, "isapc") as (_, debugger):
        text, mark = "", "m"
        while mark == "m":
            piece = debugger.ask(f"qXfer:features:read:i386-64bit.xml:{len(text):x},200")
            mark, text = piece[:1], text + piece[1:]
        registers = ElementTree.fromstring(text).iter("reg")
        bits = [int(each.attrib["bitsize"]) for each in registers]
        assert sum(bits) == 4 * len(debugger.ask("g"))
        for number, size in enumerate(bits):
            assert len(debugger.ask(f"p{number:x}")) * 4 == size


def test_damaged_packets_are_asked_for_again(hmp: str, tmp_path: Path) -> None:
    with debugged(hmp, tmp_path, "isapc") as (_, debugger):
        debugger.send(b"noise$?#00")
        debugger.send(b"$" + b"x" * 5000)
        debugger.send(b"#00$?#3f")
        assert debugger.receive(b"-") == "T05thread:01;"
        assert debugger.receive() == "T05thread:01;"


def test_where_it_may_wait(hmp: str, qemu: str) -> None:
    check_session(
        "-M isapc -S -chardev ringbuf,id=c0",
        """
        gdbserver none
        gdbserver zz
        gdbserver ""
        gdbserver tcp:1
        gdbserver mon:stdio
        gdbserver chardev:zz
        gdbserver chardev:c0
        chardev-remove c0
        gdbserver null
        gdbserver null
        chardev-remove gdb
        gdbserver none
        chardev-remove gdb
        """,
        hmp,
        qemu,
    )


def test_where_there_is_nothing_to_debug(hmp: str, qemu: str) -> None:
    check_session("-M none", "gdbserver\ngdbserver none\ngdbserver zz", hmp, qemu)


@pytest.mark.parametrize("board", ["none", "isapc"])
@pytest.mark.parametrize("word", ["zz", "tcp:1", "chardev:zz"])
def test_what_the_command_line_may_not_ask_for(
    board: str, word: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    words = ["-M", board, "-nodefaults", "-display", "none", "-monitor", "null", "-gdb", word]
    ours, theirs = (run_to_end([program, *words], tmp_path) for program in (hmp, qemu))
    assert theirs[0] == 1
    assert ours == (1, theirs[1], theirs[2].replace("qemu-system-x86_64", "hmp"))


@given(st.binary(max_size=200), st.lists(st.integers(1, 9)))
def test_packets_come_whole_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    raw = b"+noise" + pack(escape(data))
    reader = PacketReader()
    got: list[bytes | None] = []
    for cut in [*cuts, len(raw)]:
        got += reader.feed(raw[:cut])
        raw = raw[cut:]
    assert got == [data]


WORDS = (
    "? g G p P m M Z z H Hg T D c s C S q Q v vCont vCont; qXfer qXfer:features:read: qRcmd, "
    "qThreadExtraInfo, Qqemu.sstep= Qqemu.PhyMemMode: vAttach; qSupported: X"
).split()


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.tuples(st.sampled_from(WORDS), st.text("0123456789abcdef,:;=-p.x_+", max_size=14)),
        ),
        max_size=20,
    )
)
def test_no_packet_is_too_strange(packets: list[bytes | tuple[str, str]]) -> None:
    machine = TriedMachine("isapc", 1 << 20)
    try:
        chardev = RingBuffer(machine.loop, "gdb", 1 << 16)
        GdbStub(machine, chardev, lambda line, say, done: done())
        for packet in packets:
            data = packet if isinstance(packet, bytes) else "".join(packet).encode()
            chardev._receive(b"+" + pack(data))
    finally:
        machine.close()
