import pytest

from machine.clock import VirtualClock


class HostClock:
    def __init__(self):
        self.now = 1_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def host():
    return HostClock()


def test_guest_time_passes_only_while_the_machine_runs(host):
    clock = VirtualClock(host)
    host.now += 50
    assert clock.now_ns() == 0
    clock.start()
    host.now += 7
    assert clock.now_ns() == 7
    clock.stop()
    host.now += 100
    assert clock.now_ns() == 7
    clock.start()
    host.now += 3
    assert clock.now_ns() == 10


def test_starting_and_stopping_twice_changes_nothing(host):
    clock = VirtualClock(host)
    clock.start()
    host.now += 5
    clock.start()
    host.now += 5
    assert clock.now_ns() == 10
    clock.stop()
    clock.stop()
    assert clock.now_ns() == 10


@pytest.mark.parametrize("runs", [False, True])
def test_setting_the_clock_leaves_the_tick_counter_alone(host, runs):
    clock = VirtualClock(host)
    clock.start()
    host.now += 1000
    clock.cpu_ticks = 5
    if not runs:
        clock.stop()
    clock.set(777)
    assert (clock.now_ns(), clock.cpu_ticks) == (777, 5)
    host.now += 10
    assert (clock.now_ns(), clock.cpu_ticks) == ((787, 15) if runs else (777, 5))


def test_a_manual_clock_moves_only_when_it_is_told_and_the_machine_runs(host):
    clock = VirtualClock(host, manual=True)
    clock.advance(5)
    assert clock.now_ns() == 0
    clock.start()
    host.now += 1000
    assert clock.now_ns() == 0
    clock.advance(5)
    assert clock.now_ns() == 5
    assert clock.cpu_ticks == 5


def test_a_clock_without_a_host_clock_takes_the_real_one():
    clock = VirtualClock()
    clock.start()
    first = clock.now_ns()
    assert 0 <= first <= clock.now_ns() < 60_000_000_000
