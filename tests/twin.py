"""One session in two programs: what ours prints must be what QEMU prints, to the byte."""

from tests.test_oracle import oracle


def run(program: str, machine: str, lines: list[str]) -> str:
    """A record of lines typed at a program's monitor."""
    arguments = [*machine.split(), "-nodefaults", "-display", "none", "-monitor", "stdio"]
    record: str = oracle.run(
        {
            "setup": [],
            "args": arguments,
            "monitor": [*lines, "quit"],
            "after": [],
            "compare": "rendered",
        },
        program,
    )
    return record


def check_session(machine: str, text: str, hmp: str, qemu: str) -> None:
    """Let both carry out the lines of a text, on a machine of these options."""
    lines = [line.strip() for line in text.strip().splitlines()]
    record = run(qemu, machine, lines)
    assert "unsent" not in record
    ours = run(hmp, machine, lines)
    assert ours == record
