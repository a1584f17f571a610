"""The order of the children of a container, beside the real one."""

import random
import subprocess

import pytest

from machine.child_order import children_in_order


@pytest.mark.parametrize("count", [2, 5, 7, 8, 13, 30])
def test_character_devices_are_listed_in_the_real_order(count: int, qemu: str) -> None:
    random_names = random.Random(count)
    names = [f"{kind}{number}" for kind in ("c", "serial", "net-") for number in range(40)]
    labels = random_names.sample(names, count)
    args = [word for label in labels for word in ("-chardev", f"null,id={label}")]
    real = subprocess.run(
        [qemu, *"-M none -nodefaults -display none -monitor stdio".split(), *args],
        input=b"info chardev\nquit\n",
        capture_output=True,
    ).stdout.decode()
    listed = [row.partition(":")[0] for row in real.splitlines() if ": filename=" in row]
    assert children_in_order(["compat_monitor0", *labels]) == listed


def test_the_list_has_every_name_once() -> None:
    names = [f"n{number}" for number in range(500)]
    assert sorted(children_in_order(names)) == sorted(names)
    assert children_in_order([]) == []
