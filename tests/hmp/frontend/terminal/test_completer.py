"""The line's menu and marks, as prompt_toolkit is given them."""

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from hmp.frontend.terminal.completer import LineLexer, MonitorCompleter
from hmp.settings import Settings
from tests.hmp.trial import Session


@pytest.fixture
def chosen() -> Settings:
    settings = Settings()
    settings.aliases.update(snaps="info snapshots", z="migrate_set_capability", stop="quit")
    return settings


def marked(ask: Session, settings: Settings, line: str) -> str:
    fragments = LineLexer(ask.monitor, settings).lex_document(Document(line))(0)
    assert "".join(text for _, text, *_ in fragments) == line
    return "".join(text for style, text, *_ in fragments if style == "class:fault")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", ""),
        ("bogus", "bogus"),
        ("info  bogus", "bogus"),
        ("info status é", "é"),
        ("sna", ""),
        ("snaps", ""),
        ("snapz", "snapz"),
        ("snaps x", "x"),
        ("z xbzrle on", ""),
        ("z xbzrle maybe", "maybe"),
    ],
)
def test_what_will_be_refused_is_marked(
    ask: Session, chosen: Settings, line: str, fault: str
) -> None:
    assert marked(ask, chosen, line) == fault
    chosen.set("marks", False)
    assert marked(ask, chosen, line) == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sna", ["snapshot_blkdev", "snapshot_blkdev_internal",
            "snapshot_delete_blkdev_internal", "snaps"]),
        ("stop", ["stopcapture", "stop"]),
        ("z xbz", ["xbzrle"]),
        ("z xbzrle o", ["on", "off"]),
    ],
)  # fmt: skip
def test_the_menu_knows_aliases(
    ask: Session, chosen: Settings, line: str, expected: list[str]
) -> None:
    completer = MonitorCompleter(ask.monitor, chosen)
    found = completer.get_completions(Document(line), CompleteEvent())
    assert [each.text for each in found] == expected
