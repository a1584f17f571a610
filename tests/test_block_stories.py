"""Random stories about disks and jobs, each told to `hmp` and to the real QEMU.

A seed makes disks and lines; after a line that may begin or end a job both are waited for. What
they print is compared line by line, and in the end what is in all the images.
"""

import random
import re
import subprocess
import time

import pytest

from tests.session import PLAIN, Session

SEEDS = range(6)
SETUP = """
qemu-img create -q -f qcow2 base.qcow2 1M
qemu-io -c 'write -P 1 0 256k' base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
qemu-io -c 'write -P 2 128k 256k' mid.qcow2
qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 d0.qcow2
qemu-io -c 'write -P 3 300k 5k' d0.qcow2
qemu-img create -q -f qcow2 d1.qcow2 1M
qemu-io -c 'write -P 4 0 1M' d1.qcow2
qemu-img create -q -f qcow2 pre.qcow2 1M
qemu-img create -q -f qcow2 n0.qcow2 1M
qemu-img create -q -f qcow2 small.qcow2 512k
qemu-img create -q -f raw r0.raw 1M
qemu-img create -q -f raw pre.raw 1M
"""
DRIVES = (
    "if=none,id=d0,file=d0.qcow2",
    "if=none,id=r0,file=r0.raw,format=raw",
    "if=none,id=e0",
    "if=none,id=ro,file=d1.qcow2,readonly=on",
)
NODE = "driver=qcow2,node-name=n0,file.driver=file,file.filename=n0.qcow2"
ATTACHED = (
    "-M pc -accel tcg -m 16 -S -nodefaults -display none -monitor stdio "
    "-device virtio-blk-pci,drive=d0 -device virtio-blk-pci,drive=r0 -device ide-cd,drive=e0"
).split()
LOOK = (
    "for f in $(ls *.qcow2 *.raw | sort); do echo $f; qemu-img snapshot -l $f 2>&1 | cut -c1-25; "
    "qemu-img check -q $f 2>&1; qemu-img info $f | grep -E '^(backing|virtual|file format)'; "
    "qemu-img convert -O raw $f out; md5sum out; done"
)
STARTS_JOB = ("drive_mirror", "drive_backup", "block_stream", "block_job")


class Story:
    """The lines of one seed."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.made = 0
        self.names = ["d0", "d0", "d0", "r0", "r0", "ro", "e0", "n0", "nosuch"]
        self.mirrored = False
        self.arguments = ["-blockdev", NODE]
        self.arguments += [word for options in DRIVES for word in ("-drive", options)]
        self.arguments += ATTACHED if seed % 3 == 2 else PLAIN
        self.lines = [self.line() for _ in range(self.choose.randrange(10, 18))]

    def new(self, suffix: str) -> str:
        self.made += 1
        return f"t{self.made}.{suffix}"

    def target(self, name: str) -> str:
        kind = self.choose.random()
        suffix = "raw" if name == "r0" else "qcow2"
        if kind < 0.6:
            return self.new(suffix)
        return self.choose.choice(["nodir/x", "base.qcow2", "d0.qcow2", self.new(suffix)])

    def existing(self) -> str:
        return self.choose.choice(
            ["pre.qcow2", "small.qcow2", "nosuch.qcow2", "base.qcow2", "pre.raw raw"]
        )

    def flags(self, letters: str) -> str:
        return "".join(f"-{each} " for each in letters if self.choose.random() < 0.35)

    def line(self) -> str:
        choose = self.choose
        name = choose.choice(self.names)
        if self.mirrored and choose.random() < 0.4:
            self.mirrored = False
            return f"block_job_{choose.choice(['complete', 'cancel', 'complete'])} {name}"
        kind = choose.choice(
            "mirror mirror backup backup snapshot snapshot stream stream commit commit job resize "
            "add del io io io info info savevm internal throttle".split()
        )
        made = getattr(self, f"_{kind}")(name)
        assert isinstance(made, str)
        return made

    def _copy(self, command: str, name: str, letters: str) -> str:
        if self.choose.random() < 0.25:
            return f"{command} -n {self.flags(letters)}{name} {self.existing()}"
        form = self.choose.choice(["", "", "", " qcow2", " bogus"])
        return f"{command} {self.flags(letters)}{name} {self.target(name)}{form}"

    def _mirror(self, name: str) -> str:
        self.mirrored = True
        return self._copy("drive_mirror", name, "f")

    def _backup(self, name: str) -> str:
        return self._copy("drive_backup", name, "fc")

    def _snapshot(self, name: str) -> str:
        if self.choose.random() < 0.2:
            return f"snapshot_blkdev -n {name} {self.choose.choice(['pre.qcow2', 'nosuch'])}"
        return f"snapshot_blkdev {name} {self.new('qcow2')}"

    def _stream(self, name: str) -> str:
        base = self.choose.choice(["", " 0 base.qcow2", " 0 mid.qcow2", " 0 nosuch", " 10M"])
        return f"block_stream {name}{base}"

    def _commit(self, name: str) -> str:
        return f"commit {self.choose.choice([name, name, 'all'])}"

    def _job(self, name: str) -> str:
        word = self.choose.choice(["pause", "resume", "complete", "cancel", "cancel -f"])
        return f"block_job_{word} {name}"

    def _resize(self, name: str) -> str:
        return f"block_resize {name} {self.choose.choice(['1M', '2', '1536k', '1000b'])}"

    def _add(self, name: str) -> str:
        options = self.choose.choice(
            ["if=none,id=a0,file=pre.qcow2", "if=none,id=d0", "if=none,id=a1", "if=ide,id=a2"]
        )
        return f"drive_add 0 {options}"

    def _del(self, name: str) -> str:
        return f"drive_del {self.choose.choice(['a0', 'a1', 'e0', 'nosuch', 'ro', 'n0'])}"

    def _io(self, name: str) -> str:
        name = self.choose.choice(["d0", "r0"])
        offset = self.choose.choice(["0", "64k", "301k", "500k"])
        word = self.choose.choice(["write", "write", "read"])
        return f'qemu-io {name} "{word} -P {self.choose.randrange(9)} {offset} 64k"'

    def _info(self, name: str) -> str:
        topics = ["block", "block -n", f"block {name}", "block-jobs", "snapshots"]
        return f"info {self.choose.choice(topics)}"

    def _savevm(self, name: str) -> str:
        return f"savevm {self.choose.choice('ab')}"

    def _internal(self, name: str) -> str:
        return f"snapshot_blkdev_internal {name} {self.choose.choice('xy')}"

    def _throttle(self, name: str) -> str:
        return f"block_set_io_throttle {name} {self.choose.choice(['0', '1000000000'])} 0 0 0 0 0"


def settle(session: Session) -> None:
    """Wait until no job moves any more."""
    before = ""
    for _ in range(100):
        answer = session("info block-jobs")
        if answer == "No active jobs\n":
            return
        counts = re.findall(r"Completed (\d+) of (\d+)", answer)
        if answer == before and all(done == total for done, total in counts):
            return
        before = answer
        time.sleep(0.15)


def normal(text: str) -> str:
    text = re.sub(r"#block\d+", "#block<n>", text)
    text = re.sub(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d", "<date>", text)
    text = re.sub(r"ops; .*", "ops; <time>", text)
    return re.sub(r"[\d.]+ \w+ <date>.*", "<snapshot>", text)


def tell(program: str, story: Story, folder) -> tuple[list[tuple[str, str]], str]:
    """What is answered, and what is in the images afterwards."""
    folder.mkdir()
    for command in SETUP.strip().splitlines():
        subprocess.run(command, shell=True, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    session = Session([program, *story.arguments], folder)
    told = []
    for line in story.lines:
        told.append((line, normal(session(line))))
        if line.startswith(STARTS_JOB):
            settle(session)
    session.quit()
    look = subprocess.run(LOOK, shell=True, cwd=folder, capture_output=True, text=True)
    return told, look.stdout + look.stderr


@pytest.mark.parametrize("seed", SEEDS)
def test_a_story_about_disks_goes_as_with_qemu(seed, hmp, qemu, qemu_img, qemu_io, tmp_path):
    story = Story(seed)
    wanted, images = tell(qemu, story, tmp_path / "qemu")
    got, our_images = tell(hmp, story, tmp_path / "hmp")
    assert got == wanted
    assert our_images == images
