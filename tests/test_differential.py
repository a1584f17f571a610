"""Random sessions, each given to `hmp` and to the real QEMU: what they print, and the disks after.

A seed makes a scenario: disks of several kinds, then monitor lines about them.  The records'
runner carries both out and takes away what differs from run to run.
"""

import random
import re

import pytest

from tests.test_oracle import oracle

SEEDS = range(36)
TAGS = ["a", "b", "base", "1", "2", '""', '"x y"', "é", "y" * 255, "z" * 256]
LOOK = (
    "for f in *.qcow2; do echo $f; qemu-img snapshot -l $f; qemu-img check -q $f; "
    "qemu-img convert -O raw $f - | md5sum; "
    "qemu-img snapshot -l $f | tail -n +3 | cut -d' ' -f1 | while read id; do "
    "qemu-img convert -l snapshot.id=$id -O raw $f $id.raw && md5sum $id.raw; done; done"
)


class Scenario:
    """Disks and lines of one seed."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.setup = ["qemu-img create -q -f raw cd.iso 1M"]
        self.args: list[str] = []
        self.names: list[str] = []
        for number in range(self.choose.choice([1, 1, 2, 3])):
            self.add_disk(number)
        self.lines = [self.line() for _ in range(self.choose.randrange(5, 16))]

    def add_disk(self, number: int) -> None:
        file, name, node = f"d{number}.qcow2", f"d{number}", f"n{number}"
        self.setup.append(f"qemu-img create -q -f qcow2 {file} 1M")
        if self.choose.random() < 0.5:
            tag = self.choose.choice(["a", "b", "1", ""])
            self.setup.append(f"qemu-io -c 'write -P 7 64k 64k' {file} >/dev/null")
            self.setup.append(f"qemu-img snapshot -c '{tag}' {file}")
        opened = f"driver=qcow2,node-name={node},file.driver=file,file.filename={file}"
        kind = self.choose.choice("drive drive read-only snapshot overlay node raw empty".split())
        if kind == "node":
            self.args += ["-blockdev", opened]
            self.names.append(node)
            if self.choose.random() < 0.4:
                self.args += ["-blockdev", f"driver=raw,node-name=r{number},file={node}"]
                self.names.append(f"r{number}")
            return
        options = f"if=none,id={name},file={file}"
        if kind == "read-only":
            options += ",readonly=on"
        elif kind == "snapshot":
            options += ",snapshot=on,cache=unsafe"
        elif kind == "overlay":
            self.setup.append(f"qemu-img create -q -f qcow2 -b {file} -F qcow2 o{file}")
            options = f"if=none,id={name},file=o{file},cache=writethrough"
        elif kind == "raw":
            options = f"if=none,id={name},file=cd.iso,format=raw"
            self.setup.append(f"rm {file}")
        elif kind == "empty":
            options = f"if=none,id={name}"
        self.args += ["-drive", options]
        self.names.append(name)

    def line(self) -> str:
        name = self.choose.choice([*self.names, "nosuch"])
        tag = self.choose.choice(TAGS)
        offset = self.choose.choice(["0", "64k", "1000", "1M"])
        transfer = (
            f"-P {self.choose.choice([0, 7, 9])} {offset} {self.choose.choice(['4k', '64k'])}"
        )
        # QEMU itself crashes when its qemu-io acts on a drive without a medium.
        io = 'qemu-io nosuch "flush"' if self.has_empty(name) else f'qemu-io {name} "%s"'
        return self.choose.choice(
            [
                f"savevm {tag}",
                f"savevm {tag}",
                f"loadvm {tag}",
                f"loadvm {tag}",
                f"delvm {tag}",
                "info snapshots",
                f"info block {name}",
                f"info block -v {name}",
                "info block -n",
                "info status",
                self.choose.choice(["stop", "cont", "system_reset"]),
                io.replace("%s", f"read {transfer}"),
                io.replace("%s", f"write {transfer}"),
                f"snapshot_blkdev_internal {name} {tag}",
                f"snapshot_delete_blkdev_internal {name} {tag}",
                f"eject {name}" if self.choose.random() < 0.2 else f"change {name} nosuch.iso raw",
            ]
        )

    def has_empty(self, name: str) -> bool:
        return f"if=none,id={name}" in self.args

    def run(self, program: str) -> str:
        base = "-M none -nodefaults -display none -monitor stdio".split()
        # An ejected drive is empty too, so nothing is done to it afterwards.
        ejected = [n for n, line in enumerate(self.lines) if line.startswith("eject")]
        lines = self.lines[: ejected[0] + 1] if ejected else self.lines
        record: str = oracle.run(
            {
                "setup": self.setup,
                "args": base + self.args,
                "monitor": [*lines, "quit"],
                "after": [LOOK],
                "compare": "rendered",
            },
            program,
        )
        return re.sub(r"vl\.\w{6}", "vl.XXXXXX", record)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_session_is_answered_as_qemu_answers_it(
    seed: int, hmp: str, qemu: str, qemu_img: str, qemu_io: str
) -> None:
    scenario = Scenario(seed)
    record = scenario.run(qemu)
    assert record.startswith("--- stdout"), "the disks were made"
    assert scenario.run(hmp) == record
