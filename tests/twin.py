"""One session in two programs: what ours prints must be what QEMU prints, to the byte."""

from collections.abc import Sequence

from tests.test_oracle import oracle


def run(
    program: str,
    machine: str,
    lines: list[str],
    setup: Sequence[str] = (),
    after: Sequence[str] = (),
) -> str:
    """A record of lines typed at a program's monitor.

    Args:
        setup, after: commands of a shell in the folder where it runs, before and after it; what
            those after it print is a part of the record.
    """
    arguments = [*machine.split(), "-nodefaults", "-display", "none", "-monitor", "stdio"]
    record: str = oracle.run(
        {
            "setup": list(setup),
            "args": arguments,
            "monitor": [*lines, "quit"],
            "after": list(after),
            "compare": "rendered",
        },
        program,
    )
    return record


def check_session(
    machine: str,
    text: str,
    hmp: str,
    qemu: str,
    setup: Sequence[str] = (),
    after: Sequence[str] = (),
) -> None:
    """Let both carry out the lines of a text, on a machine of these options; see `run`."""
    lines = [line.strip() for line in text.strip().splitlines()]
    record = run(qemu, machine, lines, setup, after)
    assert "unsent" not in record
    ours = run(hmp, machine, lines, setup, after)
    assert ours == record
