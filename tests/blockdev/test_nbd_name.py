"""Names and options of the nbd driver, as the real program takes and shows them."""

import pytest

from blockdev.errors import QemuError
from blockdev.nbd_name import modernize, parse_name, parse_options


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nbd://host/disk", "nbd://host:10809/disk"),
        ("nbd+tcp://host:77", "nbd://host:77"),
        ("nbd://[::1]:77/a%20b/c", "nbd://::1:77/a b/c"),
        ("nbd://Host/", "nbd://Host:10809"),
        ("nbd+unix:///disk?socket=/run/s", "nbd+unix:///disk?socket=/run/s"),
        ("nbd+unix://?socket=/run/a%2fb", "nbd+unix://?socket=/run/a/b"),
        ("nbd:host:77", "nbd://host:77"),
        ("nbd:host:77:exportname=a:b", "nbd://host:77/a:b"),
        ("nbd:unix:/run/s:exportname=disk", "nbd+unix:///disk?socket=/run/s"),
    ],
)
def test_a_name_is_understood_and_shown(name: str, shown: str) -> None:
    assert parse_name(name).filename == shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nbd:", "NBD server address missing"),
        ("nbd:host:77:exportname=", "NBD server address missing"),
        ("nbd:foo", "error parsing address 'foo'"),
        ("nbd://", "No valid URL specified"),
        ("nbd://host:99999/x", "No valid URL specified"),
        ("nbd://host/x?socket=/a", "No valid URL specified"),
        ("nbd+unix:///x", "No valid URL specified"),
        ("nbd+unix://host/x?socket=/a", "No valid URL specified"),
        ("nbd:host:1:exportname=" + "x" * 4097, "export name too long to send to server"),
    ],
)
def test_a_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(QemuError) as refused:
        parse_name(name)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Parameter 'server' is missing"),
        ({"server.type": "foo"}, "Parameter 'type' does not accept value 'foo'"),
        ({"server.type": "unix"}, "Parameter 'server.path' is missing"),
        ({"server.type": "inet", "server.host": "h"}, "Parameter 'server.port' is missing"),
        (
            {"server.type": "unix", "server.path": "s", "server.host": "h"},
            "Parameter 'server.host' is unexpected",
        ),
    ],
)
def test_options_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(QemuError) as refused:
        parse_options(options, "")
    assert str(refused.value) == said


def test_the_older_options_of_a_drive() -> None:
    options = {"file.host": "h", "file.export": "x"}
    modernize(options, "file.")
    inner = {name.removeprefix("file."): value for name, value in options.items()}
    assert parse_options(inner, "file.").filename == "nbd://h:10809/x"
    for wrong, said in (
        ({"path": "p", "host": "h"}, "path and host may not be used at the same time"),
        ({"port": "7"}, "NBD server address missing"),
        ({"path": "p", "server.type": "unix"}, "Cannot use 'server' and path/host/port"),
    ):
        with pytest.raises(QemuError, match=said):
            modernize(dict(wrong), "")


def test_the_options_of_a_place_lead_to_it() -> None:
    for name in ("nbd://h:77/x", "nbd+unix:///x?socket=/s", "nbd+unix://?socket=/s"):
        assert parse_options(parse_name(name).options, "").filename == name
