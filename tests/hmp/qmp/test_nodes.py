"""Nodes and media over QMP: both programs say the same of right and wrong arguments."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import normal, request
from tests.hmp.qmp.test_bitmaps import told

NODES = request("query-named-block-nodes", flat=True)
BLOCK = request("query-block")
STATS = request("query-blockstats")
GRAPH = request("x-debug-query-block-graph")


def io(disk: str, line: str) -> dict:
    return request("human-monitor-command", command_line=f'qemu-io {disk} "{line}"')


def make_disks(folder: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run(words, cwd=folder, check=True)

    create = ("qemu-img", "create", "-q", "-f", "qcow2")
    run(*create, "b.qcow2", "1M")
    run("qemu-io", "-c", "write -q 0 100k", "b.qcow2")
    for name, below in (("m", "b"), ("k", "m"), ("d", "k"), ("q", "m"), ("s", "k")):
        run(*create, "-b", f"{below}.qcow2", "-F", "qcow2", f"{name}.qcow2")
    run("qemu-io", "-c", "write -q 200k 10k", "s.qcow2")
    run(*create, "x.qcow2", "1M")
    run("qemu-img", "create", "-q", "-f", "raw", "r.raw", "1M")


def compare(both: Both, args: Sequence[str], requests: Sequence[dict]) -> None:
    for folder in both.folders():
        make_disks(folder)
    programs = both(*args)
    theirs, ours = (told(each.step(requests)) for each in programs)
    assert ours == theirs
    assert [each.quit() for each in programs] == [0, 0]


Q = (
    '{"driver": "qcow2", "node-name": "q", '
    '"file": {"driver": "file", "filename": "x.qcow2", "node-name": "qf"}}'
)
NAMED = (
    *("-M", "none", "-object", "iothread,id=io"),
    *("-drive", "if=none,id=d,file=d.qcow2,node-name=n"),
    *("-drive", "if=none,id=emp"),
    *("-blockdev", "driver=null-co,node-name=nul,size=1048576"),
    *("-blockdev", Q),
    *("-blockdev", "driver=raw,node-name=r,file.driver=file,file.filename=r.raw,file.node-name=rf"),
)


def threshold(node: str, end: int) -> dict:
    return request("block-set-write-threshold", node_name=node, write_threshold=end)


def rename(device: str, image: str, backing: str) -> dict:
    return request(
        "change-backing-file", device=device, image_node_name=image, backing_file=backing
    )


def set_thread(node: str, thread: str | None, **more: object) -> dict:
    return request("x-blockdev-set-iothread", node_name=node, iothread=thread, **more)


def amend(node: str, **options: object) -> list[dict]:
    return [
        request("x-blockdev-amend", job_id="am", node_name=node, options=options),
        request("job-dismiss", id="am"),
    ]


WATCHED = [
    *(threshold("zz", 5), threshold("n", 5), threshold("rf", 100000), threshold("nul", 3)),
    *(NODES, io("r", "write 0 512"), io("r", "write 99000 2000"), io("r", "write 200000 512")),
    *(NODES, threshold("rf", 7), threshold("rf", 0), io("r", "write 0 512"), threshold("n", -1)),
    *(threshold("q", 1000), io("q", "write 0 4k"), io("q", "write 8k 4k"), NODES),
    *(rename("d", "n", "k.qcow2"), rename("d", "zz", "b"), rename("zz", "n", "b")),
    *(rename("d", "q", "b"), rename("d", "nul", "b"), rename("emp", "n", "b")),
    *(rename("d", "n", "other"), BLOCK, rename("q", "q", "x"), rename("q", "qf", "x")),
    *(rename("d", "n", ""), BLOCK, rename("r", "r", "b"), rename("d", "n", "b" * 1100)),
    *(set_thread("zz", "io"), set_thread("n", "zz"), set_thread("n", "io"), set_thread("n", None)),
    *(
        request("x-blockdev-change", parent=parent, **more)
        for parent, more in (
            ("n", {}),
            ("zz", {}),
            ("n", {"child": "backing"}),
            ("n", {"child": "zz"}),
            ("n", {"node": "q"}),
            ("n", {"node": "zz"}),
            ("n", {"child": "a", "node": "zz"}),
            ("q", {"child": "file"}),
        )
    ),
    *(amend("zz", driver="qcow2") + amend("n", driver="qcow2") + amend("n", driver="raw")),
    *(amend("r", driver="raw") + amend("r", driver="qcow2")),
    request("x-blockdev-amend", job_id="1", node_name="n", options={"driver": "qcow2"}),
    GRAPH,
    request("block-stream", device="d", job_id="s"),
    GRAPH,
]


def test_nodes_are_watched_and_changed_alike(both: Both) -> None:
    compare(both, NAMED, WATCHED)


def reopen(*options: dict) -> dict:
    return request("blockdev-reopen", options=list(options))


def q(**more: object) -> dict:
    options = {"driver": "qcow2", "node-name": "q", "file": "qf", "backing": None}
    return {**options, **{key.replace("_", "-"): value for key, value in more.items()}}


RF = {"driver": "file", "node-name": "rf", "filename": "r.raw"}
REOPENED = [
    reopen({"driver": "qcow2"}),
    reopen({"driver": "qcow2", "file": "qf"}),
    reopen(q(node_name="zz")),
    reopen({"driver": "qcow2", "node-name": "q", "file": "qf"}),
    reopen({"driver": "raw", "node-name": "q", "file": "qf"}),
    reopen(q(driver="bogus")),
    *(reopen(q()), reopen(q(detect_zeroes="on", cache={"no-flush": True})), NODES),
    *(reopen(q(backing="nul")), request("query-named-block-nodes"), reopen(q()), NODES),
    *(reopen(q(backing="zz")), reopen(q(file="zz")), NODES),
    *(reopen(q(backing="q")), reopen(q(backing="n")), reopen(q(file="q"))),
    reopen({"driver": "qcow2", "node-name": "n", "file": "qf", "backing": "n"}),
    *(reopen({"driver": "raw", "node-name": "r", "file": each}) for each in ("r", "nul")),
    *(NODES, reopen({"driver": "raw", "node-name": "r", "file": "nul"})),
    request("blockdev-add", driver="file", node_name="rf", filename="r.raw"),
    reopen({"driver": "raw", "node-name": "r", "file": "rf"}),
    *(reopen({**RF, "filename": "x"}), reopen({**RF, "read-only": True}), reopen(RF)),
    *(reopen({"driver": "raw", "node-name": "r", "file": "rf"}), NODES),
    *(reopen(q(read_only=True)), NODES, reopen(q()), NODES),
]


def test_nodes_are_reopened_alike(both: Both) -> None:
    compare(both, NAMED, REOPENED)


def create(**options: object) -> list[dict]:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return [
        request("blockdev-create", job_id="c", options=named),
        request("query-jobs"),
        request("job-dismiss", id="c"),
    ]


MIB = 1 << 20
FILE = {"driver": "file", "filename": "n.img"}
CREATED = [
    *create(driver="file", filename="n.img", size=MIB),
    *create(driver="file", filename="no/n.img", size=MIB),
    *(
        each
        for mode in ("metadata", "falloc", "full", "off", "bogus")
        for each in create(driver="file", filename="n.img", size=MIB, preallocation=mode)
    ),
    *create(driver="file", filename="n2.img", size=-1),
    *create(driver="file", size=1),
    *create(driver="raw"),
    *create(driver="null-co"),
    *create(driver="bogus"),
    request("blockdev-create", job_id="1", options={"driver": "file", "filename": "x", "size": 1}),
    *create(driver="qcow2", file="zz", size=MIB),
    *create(driver="qcow2", file="qf", size=MIB),
    *create(driver="qcow2", file="nul", size=MIB),
    *create(driver="qcow2", file={"driver": "file", "filename": "nope"}, size=MIB),
    *create(driver="qcow2", file=FILE),
    *(
        each
        for more in (
            {"size": 1001},
            {"cluster_size": 1000},
            {"cluster_size": 256},
            {"refcount_bits": 3},
            {"refcount_bits": 8, "version": "v2"},
            {"compression_type": "zstd", "version": "v2"},
            {"lazy_refcounts": True, "version": "v2"},
            {"extended_l2": True, "version": "v2"},
            {"extended_l2": True, "cluster_size": 4096},
            {"backing_fmt": "qcow2"},
            {"backing_file": "b.qcow2", "preallocation": "metadata"},
            {"version": "v1"},
            {"backing_file": "b.qcow2", "backing_fmt": "qcow2"},
            {"version": "v2"},
            {"preallocation": "metadata", "refcount_bits": 8, "lazy_refcounts": True},
        )
        for each in create(**{"driver": "qcow2", "file": FILE, "size": MIB, **more})
    ),
    request("blockdev-add", driver="qcow2", node_name="made", file=FILE),
    *(io("made", "write 100k 4k"), io("made", "read 100k 4k"), NODES),
    request("blockdev-del", node_name="made"),
]


def test_images_are_made_alike(both: Both) -> None:
    compare(both, NAMED, CREATED)
    for folder in both.folders():
        subprocess.run(["qemu-img", "check", "-q", "n.img"], cwd=folder, check=True)
    first, second = (folder / "n.img" for folder in both.folders())
    subprocess.run(["qemu-img", "compare", "-q", first, second], check=True)


BOARD = (
    *("-M", "pc", "-m", "16", "-accel", "tcg", "-S"),
    *("-drive", "if=none,id=d,file=d.qcow2,node-name=n", "-device", "virtio-blk-pci,drive=d,id=vb"),
    *("-drive", "if=none,id=cd,media=cdrom", "-device", "ide-cd,drive=cd,id=icd"),
    *("-drive", "if=none,id=u,file=r.raw,format=raw"),
    *("-blockdev", "driver=qcow2,node-name=s,file.driver=file,file.filename=s.qcow2"),
)


def latency(id: str, **more: object) -> dict:
    return request("block-latency-histogram-set", id=id, **more)


def change(**more: object) -> dict:
    return request("blockdev-change-medium", **more)


def stream(**more: object) -> dict:
    return request("block-stream", **{"device": "s", **more})


DRIVES = [
    *(latency("d"), latency("zz"), latency("vb"), latency("vb", boundaries=[10, 20, 30]), STATS),
    *(latency("vb", boundaries=each) for each in ([10, 20, 20], [30, 20], [], [0, 5])),
    *(latency("vb", boundaries_read=[5, 1 << 62]), latency("vb", boundaries_flush=[7]), STATS),
    *(latency("vb", boundaries_write=[3, 2]), latency("icd", boundaries=[1]), latency("vb"), STATS),
    latency("vb", boundaries_write=["x"]),
    *(stream(bottom=bottom) for bottom in ("zz", "n", "vb")),
    *(stream(bottom="s", **more) for more in ({"base": "b.qcow2"}, {"base_node": "x"})),
    *(stream(device="zz", bottom="s"), stream(bottom="s", job_id="1")),
    *(stream(bottom="s", job_id="j"), stream(base="m.qcow2", job_id="j"), BLOCK, NODES),
    *(change(device="u", filename="x.qcow2"), change(id="vb", filename="x.qcow2")),
    *(
        change(device="cd", filename="nope"),
        change(filename="x"),
        change(device="zz", filename="x"),
    ),
    change(device="cd", id="icd", filename="x.qcow2"),
    change(device="u", filename="m.qcow2", read_only_mode="bogus"),
    change(device="u", filename="m.qcow2", read_only_mode="read-write"),
    *(change(device="u", filename="x.qcow2", read_only_mode="read-only"), BLOCK),
    *(change(device="cd", filename="r.raw", format="raw", read_only_mode="read-only"), BLOCK),
    *(change(device="cd", filename="x.qcow2", format="nope"), GRAPH),
]


def test_drives_are_changed_alike(both: Both) -> None:
    compare(both, BOARD, DRIVES)


# A mirror that is done with its work only waits.
RESTING = [
    request("drive-mirror", device="d", target="m.img", sync="full", job_id="m"),
    *(request("job-pause", id="m"), request("job-pause", id="m"), request("query-block-jobs")),
    *(request("block-job-cancel", device="m"), request("job-complete", id="m")),
    *(request("job-resume", id="m"), request("job-resume", id="m"), request("query-block-jobs")),
    *(request("block-job-pause", device="m"), request("block-job-resume", device="m")),
    *(request("job-pause", id="m"), request("job-cancel", id="m"), request("query-jobs")),
]


def test_a_resting_job_answers_at_once(both: Both) -> None:
    """The reply comes after the events: here their order is compared too."""
    for folder in both.folders():
        make_disks(folder)
    programs = both("-M", "none", "-drive", "if=none,id=d,file=d.qcow2,node-name=n")
    said = []
    for each in programs:
        each.step(RESTING[:1])
        said.append(normal(each.step(RESTING[1:])))
    assert said[1] == said[0]
