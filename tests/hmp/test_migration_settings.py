"""Capabilities and parameters beside a real QEMU's: the same lines, the same answers."""

import itertools

import pytest

from machine.migration.capabilities import NAMES
from machine.migration.parameters import COMPLETED_NAMES
from tests.hmp.trial import RealSession, Session

VALUES = (
    "0 1 -1 9 10 99 100 101 255 256 1000 1001 4096 10000 10001 100000 100001 1k 1.5k 0x10 0x10k "
    "010 +5 5-9 5x 16E 15E 99999999999999999999 2000000 2000001 5000000000 x on off yes ON none "
    'zlib zstd "" " 5"'
).split(" ")


def check(ask: Session, real: RealSession, line: str) -> None:
    assert ask(line) == real(line), line


@pytest.mark.parametrize("name", [*COMPLETED_NAMES, "nosuch", "max_bandwidth", '""'])
def test_every_value_of_a_parameter_is_taken_or_refused_as_in_qemu(
    name: str, ask: Session, real: RealSession
) -> None:
    for value in VALUES:
        check(ask, real, f"migrate_set_parameter {name} {value}")
    check(ask, real, "info migrate_parameters")


def test_parameters_that_bound_each_other(ask: Session, real: RealSession) -> None:
    for line in (
        "migrate_set_parameter max-cpu-throttle 50",
        "migrate_set_parameter cpu-throttle-initial 60",
        "migrate_set_parameter cpu-throttle-initial 50",
        "migrate_set_parameter max-cpu-throttle 49",
        "info migrate_parameters",
    ):
        check(ask, real, line)


@pytest.mark.parametrize("first", NAMES)
def test_capabilities_go_together_as_in_qemu(first: str, ask: Session, real: RealSession) -> None:
    check(ask, real, f"migrate_set_capability {first} on")
    for name in NAMES:
        check(ask, real, f"migrate_set_capability {name} on")
    check(ask, real, "info migrate_capabilities")
    for name in NAMES:
        check(ask, real, f"migrate_set_capability {name} off")
    check(ask, real, "info migrate_capabilities")


def test_zero_copy_wants_plain_channels(ask: Session, real: RealSession) -> None:
    for line in (
        "migrate_set_capability multifd on",
        "migrate_set_parameter multifd-compression zlib",
        "migrate_set_capability zero-copy-send on",
        "migrate_set_parameter multifd-compression none",
        "migrate_set_parameter tls-creds x",
        "migrate_set_capability zero-copy-send on",
        'migrate_set_parameter tls-creds ""',
        "migrate_set_capability zero-copy-send on",
        "migrate_set_parameter multifd-compression zlib",
        "migrate_set_parameter tls-creds x",
        "migrate_set_capability compress on",
        "migrate_set_capability xbzrle on",
        "migrate_set_capability multifd off",
        "info migrate_capabilities",
        "info migrate_parameters",
    ):
        check(ask, real, line)


LINES = (
    "migrate",
    'migrate ""',
    "migrate foo",
    "migrate exec",
    "migrate file:x",
    "migrate tcp:",
    "migrate tcp:x",
    "migrate tcp:127.0.0.1:",
    "migrate tcp:[::1",
    "migrate tcp:[::1]",
    "migrate tcp:127.0.0.1:1,ipv4=maybe",
    "migrate tcp:127.0.0.1:1,to=x",
    "migrate unix:",
    "migrate fd:",
    "migrate fd:nosuch",
    "migrate fd:0",
    "migrate -r exec:true",
    "migrate -x exec:true",
    "migrate -d",
    "migrate exec:true more",
    "migrate_cancel",
    "migrate_pause",
    "migrate_start_postcopy",
    "migrate_recover x",
    "migrate_incoming exec:true",
    "migrate_incoming nosuch:x",
    "migrate_incoming",
    "migrate_continue",
    "migrate_continue ACTIVE",
    "migrate_continue active",
    "migrate_continue wait-unplug",
    "migrate_set_capability",
    "migrate_set_capability nosuch on",
    "migrate_set_capability xbzrle maybe",
    "getfd x",
    "closefd x",
)


@pytest.mark.parametrize("line", LINES)
def test_what_cannot_be_is_refused_as_in_qemu(line: str, ask: Session, real: RealSession) -> None:
    check(ask, real, line)
    shown = [without_times(session("info migrate")) for session in (ask, real)]
    assert shown[0] == shown[1]


def without_times(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith("total time"))


@pytest.mark.parametrize("capability", ["x-colo", "block"])
def test_disks_do_not_go_along_where_qemu_lets_none(
    capability: str, ask: Session, real: RealSession
) -> None:
    check(ask, real, f"migrate_set_capability {capability} on")
    check(ask, real, "migrate -b exec:true")


@pytest.mark.parametrize("setting", ["capability block", "parameter block-incremental"])
@pytest.mark.parametrize("option", ["-b", "-i"])
def test_disks_go_along_by_one_word_or_the_other(
    setting: str, option: str, ask: Session, real: RealSession
) -> None:
    check(ask, real, f"migrate_set_{setting} on")
    check(ask, real, f"migrate {option} exec:true")
    check(ask, real, "savevm x")
    check(ask, real, "info migrate_capabilities")
    check(ask, real, "info migrate_parameters")


def test_what_is_not_simulated_is_refused_in_one_sentence(ask: Session) -> None:
    for name in ("x-colo", "x-ignore-shared", "background-snapshot"):
        assert ask(f"migrate_set_capability {name} on") == ""
        refusal = f"Error: Migration with the capability '{name}' is not simulated\n"
        assert ask("migrate unix:nobody") == refusal
        assert ask(f"migrate_set_capability {name} off") == ""
    assert "Migration status" not in ask("info migrate")


@pytest.mark.parametrize("uri", ["exec:true", "tcp:127.0.0.1:1", "unix:nobody"])
def test_there_is_one_channel_only(uri: str, ask: Session) -> None:
    ask("migrate_set_capability multifd on")
    assert ask(f"migrate {uri}") == "multifd is not supported by current protocol\n"
    assert "Migration status: failed\n" in ask("info migrate")


def test_tab_offers_settings(ask: Session) -> None:
    completions = ask.monitor.completions
    assert completions("migrate_set_capability x") == ["xbzrle", "x-colo", "x-ignore-shared"]
    assert completions("migrate_set_capability xbzrle o") == ["on", "off"]
    assert completions("migrate_set_parameter max-c") == ["max-cpu-throttle"]
    assert list(itertools.chain(completions("migrate_set_parameter tls-creds "))) == []
