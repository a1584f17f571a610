"""Dumps and checksums, compared with a PC of QEMU's whose memory holds the same."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmp.trial import RealSession, Session, TriedMachine
from tests.session import Session as Process

ADDRESS = 0x1000
BYTES = bytes.fromhex("8877665544332211 00275c0a0d7f80ff")
END_OF_RAM = 16 << 20

FORMATS = [
    f"/{count}{letter}{size}"
    for letter in "xduoc"
    for count, size in [("", "b"), ("3", "b"), ("16", "b"), ("5", "h"), ("4", "w"), ("2", "g")]
]


@pytest.fixture
def filled(ask_pc: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A monitor of a PC that has `BYTES` at `ADDRESS`."""
    monkeypatch.chdir(tmp_path)
    ask_pc.machine.memory.write(ADDRESS, BYTES)
    return ask_pc


@pytest.fixture(scope="module")
def real_pc(qemu: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSession]:
    folder = tmp_path_factory.mktemp("real")
    (folder / "bytes.bin").write_bytes(BYTES)
    loader = f"loader,file=bytes.bin,addr={ADDRESS},force-raw=on"
    machine = ["-M", "pc", "-accel", "tcg", "-m", "16", "-S", "-device", loader]
    session = RealSession(qemu, machine, str(folder))
    yield session
    session.close()


@pytest.mark.parametrize("command", ["x", "xp"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_dumps_look_like_qemus(command, fmt, filled, real_pc):
    line = f"{command} {fmt} {ADDRESS}"
    assert filled(line) == real_pc(line)


@pytest.mark.parametrize(
    "line",
    [
        f"xp /4xw {END_OF_RAM}",
        f"xp /4xw {END_OF_RAM - 8}",
        f"x /12xw {END_OF_RAM - 32}",
        "xp /4xw 0xfffffff8",
        "xp /4xw 0xfffffffffffffff8",
        "x /4xw -1",
        "xp /0x 0",
        "xp /4294967296xb 0",
        "xp /2147483648xw 0",
        "xp /3xL 0xfffffff0",
        f"sum {ADDRESS} 16",
        f"sum {ADDRESS - 100} 1000",
        f"sum {ADDRESS + 15} 1",
        f"sum {END_OF_RAM - 5} 10",
        "sum 0xfffffff0 15",
        "sum 0xfffffff0 16",
        "sum 0xfffffff0 17",
        "sum 0 0",
        "memsave 0x100000000 16 m",
        f"memsave {END_OF_RAM - 8} 16 m",
        "memsave 0 0x100000000 m",
        'memsave 0 16 "/"',
        'pmemsave 0 64 "/nosuch/x.bin"',
        "gva2gpa zz",
        f"gpa2hva {END_OF_RAM}",
        "gpa2hpa -1",
        "cpu 0",
        "cpu 1",
        "p $pc",
        "p $cs.base",
        "p $nosuch",
        "info registers 3",
        "info lapic 3",
    ],
)
def test_answers_are_qemus(line, filled, real_pc):
    assert filled(line) == real_pc(line)


VALUES = [0, 1, 7, 10, 13, 39, 65, 92, 127, 255, 2**31, 2**32 + 65, 2**63 - 1, -1, -(2**63)]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("letter", "xduoci")
def test_numbers_look_like_qemus(letter, value, filled, real_pc):
    # The lowest number cannot be written, only worked out.
    number = str(value) if value > -(2**63) else "-9223372036854775807-1"
    line = f"p/{letter} {number}"
    assert filled(line) == real_pc(line)


def test_format_and_size_stay_for_the_next_command(filled):
    filled("xp /2xh 0x1000")
    assert filled("xp 0x1000") == "0000000000001000: 0x7788\n"
    filled("p/c 65")
    assert filled("p 8") == "'\\x08'\n"
    assert filled("xp /b 0x1001") == "0000000000001001: 'w'\n"


def test_a_format_that_is_refused_keeps_what_was(filled):
    filled("p/o 8")
    assert filled("p/dq 8").startswith("invalid char in format: 'q'")
    assert filled("p 8") == "010\n"


def test_a_file_gets_the_bytes(filled, tmp_path: Path):
    assert filled(f'pmemsave {ADDRESS} {len(BYTES)} "{tmp_path}/p"') == ""
    assert filled(f'memsave {ADDRESS - 2000} 5000 "{tmp_path}/m"') == ""
    assert (tmp_path / "p").read_bytes() == BYTES
    assert (tmp_path / "m").read_bytes() == bytes(2000) + BYTES + bytes(3000 - len(BYTES))


def test_pmemsave_takes_what_is_not_mapped_for_zeros(filled, tmp_path: Path):
    filled.machine.memory.write(END_OF_RAM - 3, b"end")
    assert filled(f'pmemsave {END_OF_RAM - 3} 100000 "{tmp_path}/p"') == ""
    assert (tmp_path / "p").read_bytes() == b"end" + bytes(99997)
    assert filled(f'pmemsave -1 4 "{tmp_path}/q"') == ""
    assert (tmp_path / "q").read_bytes() == bytes(4)


def test_memsave_leaves_what_it_had_when_memory_ends(filled, tmp_path: Path):
    answer = filled(f'memsave {END_OF_RAM - 1024} 4096 "{tmp_path}/m"')
    assert answer == "Error: Invalid addr 0x0000000000fffc00/size 4096 specified\n"
    assert (tmp_path / "m").read_bytes() == bytes(1024)


def test_a_full_disk_is_reported(filled):
    assert filled('pmemsave 0 16 "/dev/full"') == "Error: An IO error has occurred\n"


def test_a_large_dump_comes_in_steps(filled):
    steps = sum(1 for _ in filled.monitor.execute("xp /100000xb 0"))
    assert steps > 10


def test_disassembly_without_its_package_says_so(filled, monkeypatch):
    monkeypatch.setitem(sys.modules, "capstone", None)
    assert filled("xp /2i 0xfffffff0") == (
        "Error: disassembly needs the Python package 'capstone'\n"
    )


def test_instructions_are_shown_as_qemu_shows_them(hmp: str, qemu: str, tmp_path: Path):
    pytest.importorskip("capstone")
    code = bytes.fromhex("fb f4 eb fc 50 b0 20 e6 20 58 cf 2e 66 c7 87 85 00 00 00 dd cc f0")
    (tmp_path / "code").write_bytes(code)
    options = "-M isapc -accel tcg -m 16 -nodefaults -display none -monitor stdio -S -device"
    answers = []
    for program in (hmp, qemu):
        argv = [program, *options.split(), "loader,file=code,addr=0x7c00,force-raw=on"]
        session = Process(argv, tmp_path)
        answers.append(
            [
                session(line)
                for line in (
                    "xp /9i 0x7c00",
                    "x /0i 0x7c00",
                    "x /3i $pc",
                    "x /2i 0xffffffff",
                    "xp /3i 0xfffff1",
                    "xp /2000i 0xfff000",
                    "xp /i 0x2000000",
                )
            ]
        )
        assert session.quit() == 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("x 0", "Can not dump without CPU\n"),
        ("xp /i 0", "Can not dump without CPU\n"),
        ("xp /x 0", "0000000000000000: Cannot access memory\n"),
        ("memsave 0 16 m.bin", "No CPU available\n"),
        ("gva2gpa 0", "No cpu\n"),
        ("sum 0 16", "00000\n"),
        ("info registers", "No CPU available\n"),
        ("info registers -a", ""),
        ("info mem", "No CPU available\n"),
        ("info tlb", "No CPU available\n"),
        ("cpu 0", "invalid CPU index\n"),
        ("info cpus", ""),
    ],
)
def test_without_cpu(line, answer, ask):
    assert ask(line) == answer


@pytest.mark.parametrize(
    ("line", "total"),
    [
        ("x /4000xb 0", 4000),
        ("xp /70000xw 0", 280_000),
        ("sum 0 0x100000", 1 << 20),
        ('pmemsave 0 0x100000 "{file}"', 1 << 20),
        ('memsave 0 0x1000 "{file}"', 0x1000),
    ],
)
def test_work_on_memory_says_how_far_it_is(
    pc: TriedMachine, tmp_path: Path, line: str, total: int
) -> None:
    """A step of None would tell the shell to wait for something outside."""
    session = Session(pc)
    steps = list(session.monitor.execute(line.format(file=tmp_path / "file")))
    assert steps
    assert steps == sorted(steps)
    assert {step[1] for step in steps} == {total}
    assert steps[-1][0] <= total
