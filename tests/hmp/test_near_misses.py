"""Lines that are almost right run, or are refused in the words that QEMU has for it."""

from tests.hmp.near_misses import near_misses
from tests.hmp.trial import RealSession, Session


def is_refused(answer: str) -> bool:
    return 'Try "help ' in answer or answer.startswith("unknown command:")


def test_each_runs_or_is_refused_and_nothing_else_ever(ask, ask_pc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some of them write files
    refused = 0
    for session in (ask, ask_pc):
        for line in near_misses(seed=1, for_each=3):
            refused += is_refused(session(line))
            assert session.machine.exceptions == [], line
    assert refused > 500


def test_what_is_refused_is_what_qemu_refuses(
    ask: Session, real: RealSession, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    refused = 0
    for line in near_misses(seed=2, for_each=6):
        theirs = real(line)
        ours = ask(line)
        if is_refused(theirs) or is_refused(ours):
            assert ours == theirs, line
            refused += 1
    assert refused > 700
    assert ask.aside == real.aside
