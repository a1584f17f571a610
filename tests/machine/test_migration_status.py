import pytest

from machine.migration.status import (
    NAMES,
    NONE,
    TRANSITIONS,
    UNDER_WAY,
    MigrationStatus,
    follow,
)

STATES = sorted(TRANSITIONS, key=lambda state: state.name)


def reachable(start: MigrationStatus) -> set[MigrationStatus]:
    found, new = {start}, [start]
    while new:
        for state in TRANSITIONS[new.pop()] - found:
            found.add(state)
            new.append(state)
    return found


def test_every_status_can_be_reached() -> None:
    assert reachable(NONE) == set(TRANSITIONS)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_what_is_under_way_can_end_and_what_ended_can_begin_anew(state: MigrationStatus) -> None:
    ended = set(TRANSITIONS) - UNDER_WAY - {NONE}
    assert reachable(state) & ended
    if state not in UNDER_WAY:
        assert any(after.is_under_way for after in TRANSITIONS[state])


def test_only_declared_changes_are_followed() -> None:
    for before in STATES:
        for after in STATES:
            if after in TRANSITIONS[before]:
                assert follow(before, after) is after
            else:
                with pytest.raises(AssertionError):
                    follow(before, after)


def test_commands_take_the_names_of_all_of_qemus() -> None:
    # Source: what `migrate_continue` of QEMU 7.2 doesn't call an invalid parameter value.
    assert (
        sorted(NAMES)
        == (
            "active cancelled cancelling colo completed device failed none postcopy-active "
            "postcopy-paused postcopy-recover pre-switchover setup wait-unplug"
        ).split()
    )
