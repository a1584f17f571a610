import pytest

from machine.runstate import BY_NAME, TRANSITIONS, RunState, follow
from tests.machine.machines import SavedMachine
from tests.machine.reference import incoming

ALL = sorted(BY_NAME.values(), key=lambda state: state.name)


def test_all_sixteen_states_of_qemu_are_there():
    assert {state.name for state in ALL} == {
        "debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate",
        "prelaunch", "finish-migrate", "restore-vm", "running", "save-vm", "shutdown",
        "suspended", "watchdog", "guest-panicked", "colo",
    }  # fmt: skip
    assert set(TRANSITIONS) == set(ALL)


def test_status_names_the_reason_of_a_pause():
    assert RunState.RUNNING.status == "running"
    assert RunState.PAUSED.status == "paused"
    assert RunState.RESTORE_VM.status == "paused (restore-vm)"


@pytest.mark.parametrize("state", ALL, ids=lambda state: state.name)
def test_a_state_is_followed_by_itself_and_by_declared_ones_only(state):
    assert follow(state, state) is state
    for wanted in ALL:
        if wanted in TRANSITIONS[state]:
            assert follow(state, wanted) is wanted
        elif wanted is not state:
            with pytest.raises(AssertionError, match="invalid runstate transition"):
                follow(state, wanted)


def test_every_state_is_left_again_and_running_is_reached_from_everywhere():
    for state in ALL:
        seen = {state}
        waiting = [state]
        while waiting:
            for after in TRANSITIONS[waiting.pop()] - seen:
                seen.add(after)
                waiting.append(after)
        assert RunState.RUNNING in seen


def test_qemu_takes_the_same_states_from_an_incoming_stream(qemu, tmp_path):
    # Where the table has no way from inmigrate, QEMU says so and aborts.
    for state in (*TRANSITIONS[RunState.INMIGRATE], RunState.SAVE_VM, RunState.DEBUG):
        arrival = incoming(qemu, tmp_path, SavedMachine(0).save(state=state))
        if state in TRANSITIONS[RunState.INMIGRATE]:
            expected = RunState.PAUSED if state is RunState.RUNNING else state
            assert (arrival.reports, arrival.run_state) == ([], expected.status)
        else:
            name = state.name
            assert arrival.reports == [f"invalid runstate transition: 'inmigrate' -> '{name}'"]
