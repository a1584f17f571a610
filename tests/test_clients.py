"""Clients that come, speak and vanish while the machine is saved; `make soak` has them for long."""

from pathlib import Path

from tests.soak.clients import Storm


def test_two_hundred_clients_leave_nothing_behind_and_lose_nothing(
    hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    storm = Storm(hmp, tmp_path)
    storm.rage(6.0)
    assert storm.faults == []
    assert storm.counts["commands"] > 200
    assert storm.counts["saves"] > 2
    assert storm.counts["jobs"] > 0
