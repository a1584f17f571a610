"""The same requests to both programs, whose replies and events are compared to the byte."""

import subprocess
from pathlib import Path

import pytest

from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import normal, request

SMALL = ("-M", "none", "-m", "16")
NULL = {"type": "null", "data": {}}


def ring(size: int) -> dict:
    return {"type": "ringbuf", "data": {"size": size}}


def on_file(path: str) -> dict:
    return {"type": "file", "data": {"out": path}}


def listening(address: dict) -> dict:
    return {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}


def hmp(line: str) -> dict:
    return request("human-monitor-command", command_line=line)


QUERIES = [
    request(name)
    for name in (
        "query-status query-pr-managers query-block query-blockstats query-block-jobs "
        "query-named-block-nodes query-jobs query-block-exports query-chardev "
        "query-chardev-backends query-dump query-dump-guest-memory-capability query-rx-filter "
        "query-tpm-models query-tpm-types query-tpm query-spice query-vnc query-vnc-servers "
        "query-mice query-display-options query-migrate query-migrate-capabilities "
        "query-migrate-parameters query-xen-replication-status query-colo-status "
        "query-dirty-rate query-vcpu-dirty-limit query-cpus-fast query-current-machine "
        "query-target query-uuid query-vm-generation-id query-kvm query-memdev query-balloon "
        "query-memory-size-summary query-memory-devices x-query-numa x-query-opcount "
        "x-query-profile x-query-rdma x-query-usb query-replay query-yank query-name "
        "query-iothreads query-fdsets query-sev query-sgx query-sgx-capabilities query-pci "
        "query-stats-schemas"
    ).split()
]

RUNNING = [
    request("stop"),
    request("stop"),
    request("cont"),
    request("cont"),
    request("query-status"),
    request("system_reset"),
    request("system_powerdown"),
    request("system_wakeup"),
    request("inject-nmi"),
    request("x-exit-preconfig"),
    request("watchdog-set-action", action="none"),
    request("set-action", reboot="reset"),
    request("rtc-reset-reinjection"),
    hmp("info status"),
    hmp("nope"),
    hmp("x /1x 0"),
    hmp("help stop"),
    hmp("stop"),
    hmp("system_reset"),
    hmp("getfd x"),
    hmp("savevm x"),
    hmp("info history"),
    request("human-monitor-command", command_line="info cpus", cpu_index=0),
    request("query-stats", target="vm"),
]

CHARDEVS = [
    request("chardev-add", id="c1", backend=NULL),
    request("chardev-add", id="c1", backend=NULL),
    request("chardev-add", id="1", backend=NULL),
    request("chardev-add", id="r", backend=ring(100)),
    request("chardev-add", id="r", backend=ring(128)),
    request("ringbuf-write", device="r", data="hi"),
    request("ringbuf-read", device="r", size=10),
    request("ringbuf-read", device="r", size=0),
    request("ringbuf-read", device="r", size=-1),
    request("ringbuf-read", device="zz", size=1),
    request("ringbuf-read", device="c1", size=1),
    request("ringbuf-write", device="r", data="aGk=", format="base64"),
    request("ringbuf-read", device="r", size=10, format="base64"),
    request("chardev-add", id="p", backend={"type": "pty", "data": {}}),
    request("chardev-add", id="f", backend=on_file("out.txt")),
    request("chardev-add", id="f2", backend=on_file("no/such/folder")),
    request("chardev-add", id="u", backend=listening({"type": "unix", "data": {"path": "u.sock"}})),
    request(
        "chardev-add",
        id="t",
        backend=listening({"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}),
    ),
    request("chardev-add", id="m2", backend={"type": "mux", "data": {"chardev": "zz"}}),
    request("query-chardev"),
    request("chardev-change", id="c1", backend=NULL),
    request("chardev-change", id="zz", backend=NULL),
    request("chardev-remove", id="c1"),
    request("chardev-remove", id="c1"),
    request("chardev-remove", id="compat_monitor0"),
    request("chardev-send-break", id="r"),
    request("chardev-send-break", id="zz"),
    request("getfd", fdname="x"),
    request("closefd", fdname="x"),
    request("add-fd"),
    request("query-fdsets"),
    request("remove-fd", fdset_id=1),
    request("remove-fd", fdset_id=1, fd=3),
]

PARTS = [
    request("send-key", keys=[{"type": "qcode", "data": "a"}]),
    request("send-key", keys=[{"type": "number", "data": 30}]),
    request("send-key", keys=[]),
    request("screendump", filename="screen.ppm"),
    request("screendump", filename="screen.ppm", head=1),
    request("screendump", filename="screen.ppm", device="x"),
    request("memsave", val=0, size=10, filename="memory"),
    request("pmemsave", val=0, size=10, filename="memory"),
    request("pmemsave", val=0, size=10, filename="no/such/folder"),
    request("memsave", val=0, size=10, filename="memory", cpu_index=3),
    request("object-add", qom_type="iothread", id="io"),
    request("object-add", qom_type="iothread", id="io"),
    request("object-add", qom_type="iothread", id="io2", poll_max_ns=-1),
    request("object-add", qom_type="memory-backend-ram", id="mem", size=4096),
    request("query-memdev"),
    request("query-iothreads"),
    request("qom-list", path="/"),
    request("qom-list", path="/objects"),
    request("qom-list", path="/nope"),
    request("qom-get", path="/objects/io", property="poll-max-ns"),
    request("qom-get", path="/objects/io", property="zz"),
    request("qom-set", path="/objects/io", property="poll-max-ns", value=5),
    request("qom-set", path="/objects/io", property="poll-max-ns", value="x"),
    request("qom-get", path="/objects/io", property="poll-max-ns"),
    request("object-del", id="io"),
    request("object-del", id="io"),
    request("qom-get", path="/objects/io", property="x"),
    request("netdev_add", type="user", id="n"),
    request("netdev_add", type="user", id="n"),
    request("netdev_add", type="hubport", id="h", hubid=0),
    request("set_link", name="n", up=False),
    request("set_link", name="zz", up=True),
    request("netdev_del", id="n"),
    request("netdev_del", id="n"),
    request("device_add", driver="zz"),
    request("device_add"),
    request("device_add", driver=1),
    request("device_add", driver="virtio-blk-pci"),
    request("device_del", id="zz"),
    request("query-rx-filter", name="x"),
    request("announce-self", initial=1, max=1, rounds=1, step=1),
    request("balloon", value=1),
    request("query-rocker", name="x"),
    request("set_password", protocol="vnc", password="x"),
    request("set_password", protocol="spice", password="x"),
    request("expire_password", protocol="vnc", time="now"),
]

CAPABILITIES = "migrate-set-capabilities"
PARAMETERS = "migrate-set-parameters"
MIGRATION = [
    request("migrate", uri="bogus:"),
    request("query-migrate"),
    request("migrate", uri="fd:zz"),
    request("query-migrate"),
    request(CAPABILITIES, capabilities=[{"capability": "postcopy-preempt", "state": True}]),
    request(
        CAPABILITIES,
        capabilities=[
            {"capability": "zero-copy-send", "state": True},
            {"capability": "multifd", "state": True},
        ],
    ),
    request("query-migrate-capabilities"),
    request(PARAMETERS, max_bandwidth=-1),
    request(PARAMETERS, downtime_limit=5000000),
    request(PARAMETERS, compress_level=20),
    request(PARAMETERS, compress_level=2, announce_step=0),
    request(PARAMETERS, cpu_throttle_initial=0, announce_max=1000000),
    request(PARAMETERS, tls_hostname="x"),
    request(PARAMETERS, tls_authz=None, tls_hostname=None),
    request("query-migrate-parameters"),
    request("migrate-incoming", uri="defer"),
    request("migrate-recover", uri="x"),
    request("migrate-pause"),
    request("migrate-continue", state="none"),
    request("migrate-continue", state="active"),
    request("migrate-start-postcopy"),
    request("migrate_cancel"),
    request("client_migrate_info", protocol="vnc", hostname="x"),
    request("client_migrate_info", protocol="spice", hostname="x"),
    request("x-colo-lost-heartbeat"),
    request("set-vcpu-dirty-limit", dirty_rate=1),
    request("cancel-vcpu-dirty-limit"),
    request("calc-dirty-rate", calc_time=100),
]


@pytest.mark.parametrize(
    "requests",
    [QUERIES, RUNNING, CHARDEVS, PARTS, MIGRATION],
    ids=["queries", "running", "chardevs", "parts", "migration"],
)
def test_both_answer_alike(both: Both, requests: list[dict]):
    theirs, ours = (normal(each.ask(requests)) for each in both(*SMALL))
    assert ours == theirs


# --- disks

DISKS = (
    "-M pc -m 16 -accel tcg -S -drive if=none,id=d,file=overlay.qcow2 "
    "-device virtio-blk-pci,drive=d,id=vb -drive if=none,id=cd,media=cdrom "
    "-device ide-cd,drive=cd,id=icd -drive if=floppy,id=fl -drive if=none,id=e "
    "-blockdev driver=raw,node-name=n1,file.driver=file,file.filename=raw.img"
).split()
RAW = {"driver": "file", "filename": "raw.img"}
BLOCK = [
    request("query-block"),
    request("query-blockstats"),
    request("query-blockstats", query_nodes=True),
    request("query-named-block-nodes"),
    request("query-named-block-nodes", flat=True),
    request("query-pci"),
    request("query-memory-size-summary"),
    request("query-mice"),
    request("query-current-machine"),
    request("query-cpus-fast"),
    request("eject", device="cd"),
    request("eject", id="icd"),
    request("eject"),
    request("eject", device="cd", id="icd"),
    request("eject", device="nope"),
    request("eject", id="nope"),
    request("eject", device="d"),
    request("eject", id="vb"),
    request("blockdev-open-tray", id="icd"),
    request("blockdev-open-tray", id="icd"),
    request("blockdev-close-tray", id="icd"),
    request("blockdev-remove-medium", id="icd"),
    request("blockdev-insert-medium", id="icd", node_name="zz"),
    request("blockdev-insert-medium", id="icd", node_name="n1"),
    request("blockdev-open-tray", id="icd"),
    request("blockdev-remove-medium", id="icd"),
    request("blockdev-change-medium", device="cd", filename="nope.img"),
    request("block_resize", device="d", size=2 << 20),
    request("block_resize", device="d", size=-1),
    request("block_resize", device="x", size=1),
    request("block_resize", node_name="x", size=1),
    request("block_resize", size=1),
    request("blockdev-del", node_name="n1"),
    request("blockdev-del", node_name="n1"),
    request("blockdev-add", driver="raw", node_name="n2", file=RAW),
    request("blockdev-add", driver="raw", node_name="n2", file=RAW),
    request("blockdev-add", driver="raw", file=RAW),
    request("blockdev-add", driver="raw", node_name="n3", file="n2"),
    request("blockdev-del", node_name="n2"),
    request("blockdev-snapshot-internal-sync", device="d", name="s"),
    request("blockdev-snapshot-internal-sync", device="zz", name="s"),
    request("query-block"),
    request("blockdev-snapshot-delete-internal-sync", device="d", name="s"),
    request("blockdev-snapshot-delete-internal-sync", device="d"),
    request("blockdev-snapshot-delete-internal-sync", device="d", name="s"),
    request("blockdev-snapshot-sync", device="zz", snapshot_file="snap.qcow2"),
    request("blockdev-snapshot-sync", snapshot_file="snap.qcow2"),
]


@pytest.fixture
def disks(both: Both, qemu_img: str) -> Both:
    for folder in both.folders():
        for name, *more in (
            ("base.qcow2",),
            ("overlay.qcow2", "-b", "base.qcow2", "-F", "qcow2"),
            ("other.qcow2",),
        ):
            subprocess.run(
                [qemu_img, "create", "-q", "-f", "qcow2", *more, name, "1M"],
                cwd=folder,
                check=True,
            )
        (folder / "raw.img").write_bytes(bytes(1 << 20))
    return both


def test_disks_are_told_of_and_changed_alike(disks: Both):
    theirs, ours = (normal(each.ask(BLOCK)) for each in disks(*DISKS))
    assert ours == theirs


SNAPSHOTS = (
    "-M none -m 1 "
    "-blockdev driver=qcow2,node-name=d0,file.driver=file,file.filename=base.qcow2 "
    "-drive if=none,id=dd,file=other.qcow2,node-name=d1 "
    "-blockdev driver=raw,node-name=r0,file.driver=file,file.filename=raw.img"
).split()


def job(name: str, tag: str, *devices: str, vmstate: str = "d0") -> list[dict]:
    """A snapshot job, how it went, and its end."""
    more = {} if name == "snapshot-delete" else {"vmstate": vmstate}
    return [
        request(name, job_id="j", tag=tag, devices=list(devices), **more),
        request("query-jobs"),
        request("job-dismiss", id="j"),
        request("query-status"),
    ]


SAVE, LOAD, DELETE = "snapshot-save", "snapshot-load", "snapshot-delete"


def test_snapshots_are_jobs_that_tell_what_they_do(disks: Both):
    requests = [
        *job(SAVE, "a", "d0", "d1"),
        *job(SAVE, "a", "d0", "nope"),
        *job(SAVE, "a", "d0", vmstate="zz"),
        *job(SAVE, "b", "d0", vmstate="d1"),
        *job(SAVE, "c", "d0", "r0"),
        *job(SAVE, "c"),
        request(SAVE, job_id="1j", tag="c", vmstate="d0", devices=["d0"]),
        *job(LOAD, "a", "d0", "d1"),
        *job(LOAD, "nope", "d0", "d1"),
        *job(DELETE, "a", "d0", "d1"),
        *job(DELETE, "a", "d0", "d1"),
        request("job-dismiss", id="j"),
        request("job-cancel", id="x"),
        request("block-job-cancel", device="x"),
        hmp("savevm x"),
    ]
    theirs, ours = (normal(each.step(requests)) for each in disks(*SNAPSHOTS))
    assert ours == theirs


def test_what_qmp_saved_is_in_the_files(disks: Both, qemu_img: str):
    for each, folder in zip(disks(*SNAPSHOTS), disks.folders(), strict=True):
        each.step(job(SAVE, "a", "d0", "d1"))
        assert each.quit() == 0
        for name in ("base.qcow2", "other.qcow2"):
            listing = subprocess.run(
                [qemu_img, "snapshot", "-l", name], cwd=folder, capture_output=True, check=True
            )
            assert b" a " in listing.stdout
            subprocess.run([qemu_img, "check", "-q", name], cwd=folder, check=True)


def test_a_migration_tells_how_far_it_is(both: Both):
    events = {"capability": "events", "state": True}
    requests = [
        request(CAPABILITIES, capabilities=[events]),
        request("migrate", uri="exec:cat > state"),
    ]
    told = []
    for each in both(*SMALL):
        said = each.ask(requests)
        while '"completed"' not in said[-1]:
            said += each.lines_until(lambda line: line)
        each.ask([request("query-status")])
        told.append(normal(said))
    assert told[1] == told[0]
    assert len(told[0]) == 8


def test_people_migrate_detached_over_qmp(both: Both):
    theirs, ours = (each.ask([hmp("migrate exec:cat>state")]) for each in both(*SMALL))
    assert ours[:1] == theirs[:1]


CHAIN = (
    "-M none -drive if=none,id=d,file=top.qcow2,node-name=top "
    "-blockdev driver=qcow2,node-name=t,file.driver=file,file.filename=other.qcow2"
).split()
ASK = [request("query-jobs"), request("query-block-jobs")]
JOBS = {
    "mirror": [
        request("drive-mirror", device="d", target="m", sync="full", job_id="j", format="qcow2"),
        *ASK,
        request("block-job-set-speed", device="j", speed=1000),
        request("block-job-complete", device="j"),
        *ASK,
        request("drive-mirror", device="d", target="m2", sync="top", job_id="1"),
        request("drive-mirror", device="d", target="m2", sync="incremental", job_id="k"),
        request("drive-mirror", device="zz", target="m2", sync="top"),
        request("drive-mirror", device="d", target="m2", sync="top", granularity=3),
        request(
            "drive-mirror",
            device="d",
            target="m3",
            sync="full",
            auto_dismiss=False,
            auto_finalize=False,
        ),
        request("job-complete", id="d"),
        request("job-finalize", id="d"),
        *ASK,
        request("job-dismiss", id="d"),
    ],
    "cancel": [
        request("drive-mirror", device="d", target="m", sync="full"),
        request("block-job-cancel", device="d"),
        request("drive-mirror", device="d", target="m2", sync="full"),
        request("block-job-cancel", device="d", force=True),
        request("drive-mirror", device="d", target="m2", sync="full"),
        request("job-cancel", id="d"),
    ],
    "backup": [
        request("drive-backup", device="d", target="b", sync="full"),
        request("drive-backup", device="d", target="b2", sync="top", job_id="x"),
        request(
            "blockdev-backup", device="d", target="t", sync="full", job_id="y", auto_finalize=False
        ),
        *ASK,
        request("job-finalize", id="y"),
        request("blockdev-backup", device="d", target="zz", sync="full"),
        request("drive-backup", device="d", target="b3", sync="incremental"),
        request("drive-backup", device="d", target="no/such/folder", sync="full"),
    ],
    "commit the top": [
        request("block-commit", device="d", job_id="c"),
        *ASK,
        request("job-complete", id="c"),
        request("query-named-block-nodes", flat=True),
    ],
    "commit the middle": [
        request("block-commit", device="d", job_id="c", top="middle.qcow2"),
        request("query-block"),
        request("block-commit", device="d", top="nope"),
        request("block-commit", device="d", base="nope"),
        request("block-commit", device="d", base_node="nope"),
        request("block-commit", device="d", top_node="top", base_node="top"),
        request("block-commit", device="d", top_node="top", top="top.qcow2"),
        request("block-commit", device="zz"),
    ],
    "stream": [
        request("block-stream", device="d", job_id="s", base="base.qcow2"),
        request("query-block"),
        request("block-stream", device="d", base="nope"),
        request("block-stream", device="zz"),
        request("block-stream", device="d", base="base.qcow2", base_node="x"),
        request("block-stream", device="d"),
        request("query-block"),
    ],
    "mirror to a node": [
        request("blockdev-mirror", device="d", target="t", sync="full", job_id="m"),
        *ASK,
        request("block-job-complete", device="m"),
        request("query-block"),
    ],
}


@pytest.mark.parametrize("name", JOBS)
def test_jobs_on_disks_tell_what_they_do(disks: Both, qemu_img: str, name: str):
    below = "base.qcow2"
    for overlay in ("middle.qcow2", "top.qcow2"):
        command = [qemu_img, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, overlay]
        for folder in disks.folders():
            subprocess.run(command, cwd=folder, check=True)
        below = overlay
    programs = disks(*CHAIN)
    for each in programs:
        each.ask([hmp(f'qemu-io d "write {at}k 64k"') for at in (0, 256)])
    theirs, ours = (normal(each.step(JOBS[name])) for each in programs)
    assert ours == theirs


def test_the_end_is_told(both: Both, tmp_path: Path):
    for each in both():
        each.send(b'{"execute": "quit"}\n')
        event, reply = normal(each.lines_until(lambda line: "return" in line))
        assert event == (
            '{"timestamp": {TIME}, "event": "SHUTDOWN", '
            '"data": {"guest": false, "reason": "host-qmp-quit"}}'
        )
        assert reply == '{"return": {}}'
        assert each.process.wait(10) == 0
