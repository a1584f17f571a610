"""Dirty bitmaps over QMP: both programs say and store the same, and read what the other left."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import Conversation, normal, request

DISK = ("-M", "none", "-drive", "if=none,id=d,file=d.qcow2,node-name=n")
OTHERS = (
    *("-drive", "if=none,id=o,file=old.qcow2,node-name=old"),
    *("-drive", "if=none,id=emp"),
    *("-blockdev", "driver=raw,node-name=r,file.driver=file,file.filename=r.raw,file.node-name=rf"),
    *("-blockdev", "driver=qcow2,node-name=t,file.driver=file,file.filename=t.qcow2"),
    *("-blockdev", "driver=qcow2,node-name=u,file.driver=file,file.filename=u.qcow2"),
    *("-blockdev", "driver=qcow2,node-name=w,file.driver=file,file.filename=w.qcow2"),
    *(
        "-blockdev",
        "driver=qcow2,node-name=ro,read-only=on,file.driver=file,file.filename=ro.qcow2",
    ),
)
NODES = request("query-named-block-nodes", flat=True)
JOBS = request("query-jobs")


def add(node: str, name: str, **more: object) -> dict:
    return request("block-dirty-bitmap-add", node=node, name=name, **more)


def do(verb: str, node: str, name: str) -> dict:
    return request(f"block-dirty-bitmap-{verb}", node=node, name=name)


def merge(node: str, target: str, *bitmaps: object) -> dict:
    return request("block-dirty-bitmap-merge", node=node, target=target, bitmaps=list(bitmaps))


def sha(node: str, name: str) -> dict:
    return request("x-debug-block-dirty-bitmap-sha256", node=node, name=name)


def write(at: str, size: str = "1k", disk: str = "d") -> dict:
    return request("human-monitor-command", command_line=f'qemu-io {disk} "write {at} {size}"')


def backup(**more: object) -> dict:
    return request("blockdev-backup", **{"device": "d", **more})


def transaction(*actions: tuple[str, dict], mode: str | None = None) -> dict:
    more = {"properties": {"completion-mode": mode}} if mode else {}
    return request("transaction", actions=[{"type": t, "data": d} for t, d in actions], **more)


def make_disks(folder: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    for name in ("d", "t", "u"):
        run("qemu-img", "create", "-q", "-f", "qcow2", f"{name}.qcow2", "1M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "w.qcow2", "2M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old.qcow2", "1M")
    run("qemu-img", "create", "-q", "-f", "raw", "r.raw", "1000K")
    for name, *more in (("a",), ("b", "--disable"), ("c", "-g", "512")):
        run("qemu-img", "bitmap", "--add", *more, "d.qcow2", name)
    run("qemu-io", "-c", "write -q 0 100k", "d.qcow2")
    (folder / "ro.qcow2").write_bytes((folder / "d.qcow2").read_bytes())


def told(lines: Sequence[str]) -> list[list[object]]:
    """What both must say: of each step the reply, and then the events of each job in order.

    When a reply comes between the events, and which of two jobs is done first, is chance.
    """
    steps: list[list[object]] = []
    for line in normal(lines):
        if line.startswith("> "):
            steps.append([line])
            continue
        text = line.replace("{TIME}", "0").replace('": N', '": 0')
        # QEMU prints what qemu-io says, and what it formats, on the same pipe.
        steps[-1].append(json.loads(text[text.index("{") :]))
    for step in steps:
        replies = [m for m in step if isinstance(m, dict) and "event" not in m]
        events = [m for m in step if isinstance(m, dict) and "event" in m]
        events.sort(key=of_job)
        for reply in replies:
            said = reply.get("return")
            if isinstance(said, str) and " bytes at offset " in said:
                reply["return"] = ""
            for node in said if isinstance(said, list) else ():
                drop_layout(node)
        step[1:] = [*replies, *events]
    return steps


def of_job(event: dict) -> str:
    data = event.get("data", {})
    return str(data.get("id", data.get("device", "")))


def drop_layout(node: dict) -> None:
    """A file's length tells how clusters were allocated, which isn't compared."""
    node.pop("current-progress", None)
    for snapshot in node.get("image", {}).get("snapshots", ()):
        snapshot["vm-clock-nsec"] = 0
    if node.get("drv") == "file" and "image" in node:
        node["image"].pop("virtual-size")


ARGUMENTS = [
    *(add("n", "x"), add("n", "x"), add("n", ""), add("zz", "x"), add("", "x"), add("emp", "x")),
    *(add("d", "g", granularity=granularity) for granularity in (511, 0, 256, 768)),
    *(add("d", "g1", granularity=1 << 31), add("d", "g2", granularity=512)),
    *(add("n", "p", persistent=True), add("n", "q", persistent=True, disabled=True)),
    *(add("n", "x", persistent=True), add("r", "p", persistent=True), add("rf", "rfb")),
    *(add("r", "rb"), add("rf", "p", persistent=True), add("old", "p", persistent=True)),
    *(add("n", "y" * 1024), add("n", "y" * 1024, persistent=True), add("n", "y" * 1023)),
    do("remove", "n", "y" * 1023),
    *(write("0", "512"), write("100k", "64k"), write("10000", "512", "r"), write("-z 300k", "64k")),
    NODES,
    *(
        do(verb, node, name)
        for verb in ("clear", "enable", "disable", "remove")
        for node, name in (("zz", "x"), ("n", "nope"), ("emp", "x"))
    ),
    *(do("enable", "n", "q"), do("disable", "n", "p"), do("clear", "n", "g2")),
    *(merge("n", "nope", "p"), merge("n", "q", "p", "nope"), merge("zz", "q", "p")),
    *(
        merge("n", "q", "p", "x"),
        merge("n", "g2", "p"),
        merge("n", "q", "g1"),
        merge("n", "q", "q"),
    ),
    *(merge("n", "q", {"node": node, "name": "rb"}) for node in ("r", "zz", "n")),
    merge("n", "q", {"node": "ro", "name": "c"}),
    *(sha(node, name) for node, name in (("n", "x"), ("n", "g2"), ("r", "rb"), ("zz", "x"))),
    sha("n", "nope"),
    *(do(verb, "ro", "a") for verb in ("clear", "enable", "disable", "remove")),
    *(merge("ro", "a", "c"), add("ro", "new"), do("remove", "ro", "new")),
    NODES,
    request("block_resize", node_name="n", size=3 << 19),
    *(sha("n", "x"), sha("n", "g2"), write("1200k"), NODES),
    request("blockdev-snapshot-internal-sync", device="d", name="s"),
    *(do("remove", "n", name) for name in ("p", "x", "b")),
    NODES,
]


def images_alike(folders: Sequence[Path], *names: str) -> None:
    """The real program says the same of both programs' images."""
    for name in names:
        said = []
        for folder in folders:
            subprocess.run(["qemu-img", "check", "-q", name], cwd=folder, check=True)
            command = ["qemu-img", "info", "--output=json", name]
            info = subprocess.run(command, cwd=folder, check=True, capture_output=True)
            value = json.loads(info.stdout)
            for each in ("actual-size", "snapshots"):
                value.pop(each, None)
            for child in value.pop("children", ()):
                assert child
            said.append(value)
        assert said[1] == said[0]
        first, second = (folder / name for folder in folders)
        subprocess.run(["qemu-img", "compare", "-q", first, second], check=True)


def run_both(both: Both, args: Sequence[str], requests: Sequence[dict]) -> None:
    for folder in both.folders():
        make_disks(folder)
    programs = both(*args)
    theirs, ours = (told(each.step(requests)) for each in programs)
    assert ours == theirs
    assert [each.quit() for each in programs] == [0, 0]


def test_bitmaps_are_made_and_changed_alike(both: Both) -> None:
    run_both(both, (*DISK, *OTHERS), ARGUMENTS)
    images_alike(both.folders(), "d.qcow2", "ro.qcow2")


BACKUPS = [
    *(backup(target="t", sync=sync) for sync in ("incremental", "bitmap")),
    *(backup(target="t", sync=sync, bitmap="zz") for sync in ("incremental", "bitmap", "full")),
    *(backup(target="t", sync=sync, bitmap="a") for sync in ("bitmap", "full", "top", "none")),
    *(
        backup(target="t", sync=sync, bitmap="a", bitmap_mode=mode)
        for sync, mode in (
            ("incremental", "never"),
            ("incremental", "always"),
            ("full", "never"),
            ("top", "never"),
            ("none", "always"),
        )
    ),
    backup(target="t", sync="full", bitmap_mode="on-success"),
    *(
        backup(target="t", sync="full", x_perf=perf)
        for perf in (
            {"max-workers": 0},
            {"max-workers": 1 << 40},
            {"max-chunk": -1},
            {"max-chunk": 1},
        )
    ),
    backup(target="w", sync="incremental", bitmap="a"),
    backup(target="n", sync="incremental", bitmap="a"),
    backup(target="r", sync="incremental", bitmap="a", compress=True),
    NODES,
    backup(target="t", sync="incremental", bitmap="a", job_id="j"),
    NODES,
    write("200k", "64k"),
    backup(target="t", sync="bitmap", bitmap="a", bitmap_mode="never", job_id="j"),
    backup(target="u", sync="full", bitmap="c", bitmap_mode="always", job_id="j"),
    NODES,
    write("300k"),
    backup(target="t", sync="bitmap", bitmap="a", bitmap_mode="on-success", auto_finalize=False),
    write("400k"),
    *(do(verb, "n", "a") for verb in ("clear", "enable", "disable", "remove")),
    *(merge("n", "a", "c"), merge("n", "c", "a"), sha("n", "a"), JOBS, NODES),
    *(request("job-cancel", id="d"), NODES),
    backup(target="t", sync="bitmap", bitmap="a", bitmap_mode="on-success", auto_finalize=False),
    *(write("500k"), request("job-finalize", id="d"), NODES),
    backup(target="t", sync="bitmap", bitmap="a", bitmap_mode="always", auto_finalize=False),
    *(write("600k"), request("job-cancel", id="d"), NODES),
    *(
        request("drive-backup", device="d", target=f"b{n}.qcow2", **more)
        for n, more in enumerate(
            (
                {"sync": "incremental", "bitmap": "c"},
                {"sync": "incremental", "bitmap": "zz"},
                {"sync": "incremental"},
                {"sync": "bitmap", "bitmap": "a"},
                {"sync": "bitmap", "bitmap": "a", "bitmap_mode": "never", "compress": True},
                {"sync": "full", "bitmap": "a", "bitmap_mode": "on-success"},
            )
        )
    ),
    NODES,
    request("human-monitor-command", command_line="loadvm nope"),
]


def test_backups_go_by_bitmaps_alike(both: Both) -> None:
    run_both(both, (*DISK, *OTHERS), BACKUPS)
    images_alike(
        both.folders(), "d.qcow2", "t.qcow2", "u.qcow2", "b0.qcow2", "b4.qcow2", "b5.qcow2"
    )


def bitmap_action(verb: str, **data: object) -> tuple[str, dict]:
    return f"block-dirty-bitmap-{verb}", {"node": "n", **data}


ABORT = ("abort", {})
TO_T = ("blockdev-backup", {"device": "d", "target": "t", "sync": "full", "job-id": "j1"})
TO_W = ("blockdev-backup", {"device": "r", "target": "w", "sync": "full", "job-id": "j2"})
TO_U = ("blockdev-backup", {"device": "o", "target": "u", "sync": "full", "job-id": "j2"})


def held(action: tuple[str, dict], **more: object) -> tuple[str, dict]:
    return action[0], {**action[1], "auto-finalize": False, **more}


TRANSACTIONS = [
    transaction(),
    transaction(mode="grouped"),
    transaction(bitmap_action("add", name="x"), bitmap_action("add", name="x")),
    transaction(bitmap_action("add", name="x", persistent=True), ABORT),
    transaction(bitmap_action("add", name="x", disabled=True), bitmap_action("add", name="y")),
    NODES,
    write("700k", "64k"),
    transaction(
        bitmap_action("clear", name="a"),
        bitmap_action("disable", name="c"),
        bitmap_action("enable", name="b"),
        bitmap_action("merge", target="x", bitmaps=["c", "a"]),
        ABORT,
    ),
    NODES,
    transaction(bitmap_action("remove", name="y"), ABORT),
    transaction(bitmap_action("remove", name="y"), bitmap_action("clear", name="y")),
    transaction(bitmap_action("remove", name="y"), bitmap_action("add", name="y")),
    NODES,
    transaction(
        bitmap_action("disable", name="a"),
        bitmap_action("add", name="a2"),
        bitmap_action("merge", target="a2", bitmaps=["a", {"node": "n", "name": "c"}]),
        bitmap_action("clear", name="a"),
        bitmap_action("enable", name="a"),
        bitmap_action("remove", name="y"),
    ),
    NODES,
    transaction(
        ("blockdev-backup", {"device": "d", "target": "t", "sync": "incremental", "bitmap": "a2"}),
        bitmap_action("clear", name="c"),
    ),
    NODES,
    transaction(ABORT, mode="grouped"),
    transaction(bitmap_action("clear", name="a"), mode="grouped"),
    transaction(bitmap_action("add", name="z"), mode="grouped"),
    transaction(TO_T, TO_U, mode="grouped"),
    transaction(TO_T, TO_U),
    transaction(TO_T, TO_W),
    # Grouped, the real program hangs here.
    transaction(TO_T, TO_U, ABORT),
    transaction(TO_T, (TO_U[0], {**TO_U[1], "job-id": "j1"})),
    transaction(TO_T, held(TO_U), mode="grouped"),
    *(JOBS, request("job-finalize", id="j1"), JOBS),
    transaction(held(TO_T), held(TO_U, **{"auto-dismiss": False}), mode="grouped"),
    *(JOBS, request("job-finalize", id="j2"), JOBS, request("job-dismiss", id="j2")),
    transaction(held(TO_T), held(TO_U, **{"auto-dismiss": False}), mode="grouped"),
    *(request("job-cancel", id="j1"), JOBS, request("job-dismiss", id="j2"), NODES),
    transaction(
        bitmap_action("add", name="s"),
        ("blockdev-snapshot-sync", {"device": "d", "snapshot-file": "top.qcow2"}),
    ),
    transaction(
        bitmap_action("add", name="s2"), ("blockdev-snapshot", {"node": "n", "overlay": "u"})
    ),
    NODES,
]


def test_transactions_do_all_or_nothing_alike(both: Both) -> None:
    run_both(both, (*DISK, *OTHERS), TRANSACTIONS)
    images_alike(both.folders(), "d.qcow2", "t.qcow2", "u.qcow2")


# --- from one program to the other

FIRST = [
    do("clear", "n", "a"),
    add("n", "p", persistent=True, granularity=4096),
    add("n", "q", persistent=True, disabled=True),
    write("200k", "100k"),
    merge("n", "q", "p"),
    do("remove", "n", "c"),
    write("500k"),
]
SUMS = [*(sha("n", name) for name in ("a", "b", "p", "q", "c")), NODES]
BROKEN = [
    NODES,
    *(do(verb, "n", "a") for verb in ("clear", "enable", "disable")),
    *(merge("n", "a", "b"), merge("n", "b", "a"), add("n", "a"), sha("n", "a")),
    backup(target="n", sync="incremental", bitmap="a"),
    *(do("remove", "n", "a"), add("n", "a", persistent=True), write("0"), NODES),
]


@pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])
def test_each_program_takes_up_what_the_other_left(
    hmp: str, qemu: str, tmp_path: Path, *, is_killed: bool
) -> None:
    said = []
    for writer, reader in ((qemu, hmp), (hmp, qemu), (qemu, qemu)):
        folder = tmp_path / f"{len(said)}"
        folder.mkdir()
        make_disks(folder)
        program = Conversation(writer, folder, DISK)
        try:
            program.negotiate()
            program.step(FIRST)
            if not is_killed:
                assert program.quit() == 0
        finally:
            program.close()
        info = subprocess.run(["qemu-img", "info", "d.qcow2"], cwd=folder, capture_output=True)
        listed = info.stdout[info.stdout.index(b"bitmaps") :]
        program = Conversation(reader, folder, DISK)
        try:
            program.negotiate()
            answers = told(program.step([*SUMS, *(BROKEN if is_killed else ())]))
            assert program.quit() == 0
        finally:
            program.close()
        check = subprocess.run(["qemu-img", "check", "-q", "d.qcow2"], cwd=folder)
        assert check.returncode in ((0, 3) if is_killed else (0,))  # 3: leaks, by who was killed
        said.append((listed, answers))
    assert said[0] == said[2]
    assert said[1] == said[2]


# --- over the network


def test_clients_see_the_same_of_bitmaps(both: Both) -> None:
    exports = [
        *(do("disable", "n", "a"), add("n", "live")),
        request("nbd-server-start", addr={"type": "unix", "data": {"path": "s"}}),
        *(
            request("block-export-add", type="nbd", id=f"e{n}", node_name="n", name=f"x{n}", **more)
            for n, more in enumerate(
                (
                    {"bitmaps": ["a", "b"], "allocation_depth": True},
                    {"bitmaps": ["a"]},
                    {"bitmaps": ["nope"]},
                    {"bitmaps": ["live"]},
                    {"bitmaps": ["live"], "writable": True},
                    {"bitmaps": [{"node": "zz", "name": "a"}]},
                    {"iothread": "zz"},
                )
            )
        ),
        request("nbd-server-add", device="d", name="y", bitmap="c"),
        request("nbd-server-add", device="d", name="z", bitmap="zz"),
        *(do(verb, "n", "a") for verb in ("clear", "remove")),
        NODES,
        request("query-block-exports"),
    ]
    for folder in both.folders():
        make_disks(folder)
    programs = both(*DISK)
    theirs, ours = (told(each.step(exports)) for each in programs)
    assert ours == theirs
    contexts = ("dirty-bitmap:a", "dirty-bitmap:b", "dirty-bitmap:live", "allocation-depth")
    said = []
    for folder in both.folders():
        place = "driver=nbd,export=x0,server.type=unix,server.path=s"
        listing = ["qemu-nbd", "--list", "-k", str(folder / "s")]
        maps = [
            [*"qemu-img map --output=json --image-opts".split(), f"{place},x-dirty-bitmap=qemu:{c}"]
            for c in contexts
        ]
        runs = [
            subprocess.run(each, cwd=folder, capture_output=True, timeout=30)
            for each in (listing, *maps)
        ]
        said.append([(each.returncode, each.stdout, each.stderr) for each in runs])
    assert said[1] == said[0]
    after = [
        request("block-export-del", id="e0"),
        *(do("clear", "n", "a"), request("nbd-server-stop"), do("clear", "n", "live"), NODES),
    ]
    theirs, ours = (told(each.step(after)) for each in programs)
    assert ours == theirs
