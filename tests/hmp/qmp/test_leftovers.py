"""What is asked for more rarely: both programs say the same of it, to the byte."""

import array
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import Conversation, normal, request
from tests.programs import wait_until

SMALL = ("-M", "none", "-m", "16")
PC = tuple("-M pc -m 16 -accel tcg -S".split())
WITH_DEVICES = (
    *"-M pc -m 16 -accel tcg -S -smp 2 -netdev user,id=u".split(),
    *"-device virtio-net-pci,netdev=u,id=n -device e1000,id=e -device VGA,id=v".split(),
    *"-blockdev null-co,node-name=d -device virtio-blk-pci,drive=d,id=b".split(),
)


def hmp(line: str) -> dict:
    return request("human-monitor-command", command_line=line)


def key(name: str, down: bool = True) -> dict:
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


LACKED = [
    request("query-acpi-ospm-status"),
    request("query-sev-attestation-report", mnonce="aGk="),
    request("sev-inject-launch-secret", packet_header="x", secret="y"),
    request("query-sev-capabilities"),
    request("query-sev-launch-measure"),
    request("replay-seek", icount=1),
    request("replay-break", icount=1),
    request("replay-delete-break"),
    request("dumpdtb", filename="tree"),
    request("set-numa-node", type="node"),
    request("query-hotpluggable-cpus"),
    request("trace-event-get-state", name="no_such_event"),
    request("trace-event-get-state", name="no_such_*"),
    request("trace-event-get-state", name="no_such_*", vcpu=9),
    request("trace-event-get-state", name="job_*"),
    request("trace-event-set-state", name="vmstate_save", enable=True),
    request("trace-event-get-state", name="vmstate_save"),
    request("trace-event-get-state", name="vmstate_save", vcpu=0),
    request("trace-event-set-state", name="vmstate_save", enable=False),
    request("trace-event-get-state", name="vmstate_save"),
    request("trace-event-set-state", name="no_such_event", enable=True),
    request("trace-event-set-state", name="no_such_*", enable=True),
    request("xen-colo-do-checkpoint"),
    request("xen-set-replication", enable=True, primary=True),
    request("xen-set-replication", enable=True, primary=True, failover=True),
    request("xen-set-replication", enable=False, primary=True, failover=True),
    request("xen-set-global-dirty-log", enable=True),
    request("display-update", type="vnc"),
    request("display-reload", type="vnc"),
    request("display-reload", type="vnc", tls_certs=True),
    request("change-vnc-password", password="x"),
    request("set_password", protocol="vnc", password="x", connected="fail"),
    request("input-send-event", events=[]),
    request("input-send-event", device="x", events=[]),
    request("input-send-event", events=[key("a")]),
    request("query-mice"),
    request("yank", instances=[]),
    request("yank", instances=[{"type": "migration"}]),
    request("yank", instances=[{"type": "chardev", "id": "x"}]),
    request("yank", instances=[{"type": "block-node", "node-name": "x"}]),
    request("x-query-virtio"),
    request("x-query-virtio-status", path="/x"),
    request("x-query-virtio-queue-status", path="/machine", queue=0),
    request("x-query-virtio-vhost-queue-status", path="/machine", queue=0),
    request("x-query-virtio-queue-element", path="/machine", queue=0),
    request("dump-guest-memory", paging=False, protocol="file:no/such/folder"),
    request("dump-guest-memory", paging=False, protocol="file:d", begin=100, length=0),
    request("dump-guest-memory", paging=False, protocol="file:d", begin=1 << 40, length=9),
]


@pytest.mark.parametrize("machine", [SMALL, PC], ids=["none", "pc"])
def test_what_a_machine_lacks_is_told_alike(both: Both, machine: tuple[str, ...]):
    theirs, ours = (normal(each.ask(LACKED)) for each in both(*machine))
    assert ours == theirs


def test_a_dump_that_cannot_be_stops_a_running_guest_for_a_moment(both: Both):
    asked = [
        request("dump-guest-memory", paging=False, protocol="file:no/such/folder"),
        request("dump-guest-memory", paging=False, protocol="file:d", begin=100, length=0),
        request("dump-guest-memory", paging=False, protocol="file:e", begin=1 << 40, length=9),
        request("query-status"),
    ]
    theirs, ours = (normal(each.ask(asked)) for each in both("-M", "pc", "-m", "16"))
    assert ours == theirs
    assert sum("STOP" in line for line in ours) == 2


VIRTIO = [f"/machine/peripheral/{id}/virtio-backend" for id in "bn"]
OF_DEVICES = [
    request("query-hotpluggable-cpus"),
    request("query-cpus-fast"),
    request("query-rx-filter"),
    *(request("query-rx-filter", name=name) for name in ("n", "e", "u", "x")),
    request("x-query-virtio"),
    *(request("x-query-virtio-status", path=path) for path in VIRTIO),
    *(
        request("x-query-virtio-queue-status", path=path, queue=n)
        for path in VIRTIO
        for n in (1, 9)
    ),
    *(request("x-query-virtio-vhost-queue-status", path=path, queue=0) for path in VIRTIO),
    *(
        request("x-query-virtio-queue-element", path=path, queue=n)
        for path in VIRTIO
        for n in (0, 9)
    ),
    request("input-send-event", device="v", events=[key("a")]),
    request("input-send-event", device="e", events=[]),
    request("input-send-event", device="v", head=1, events=[]),
]


def test_devices_are_told_of_alike(both: Both):
    theirs, ours = (normal(each.ask(OF_DEVICES)) for each in both(*WITH_DEVICES))
    assert ours == theirs


def test_a_running_guest_gets_keys_but_no_touches(both: Both):
    asked = [
        request("input-send-event", events=[key("a"), key("a", down=False)]),
        request("input-send-event", events=[{"type": "abs", "data": {"axis": "x", "value": 1}}]),
        request(
            "input-send-event",
            events=[
                {"type": "rel", "data": {"axis": "y", "value": -1}},
                {"type": "btn", "data": {"button": "left", "down": True}},
            ],
        ),
    ]
    theirs, ours = (normal(each.ask(asked)) for each in both("-M", "pc", "-m", "16"))
    assert ours == theirs


# --- tables


def test_types_and_their_properties_are_qemus(both: Both):
    """All types in all orders; the properties of one in seven, and of those that are special."""
    programs = both()
    [answer] = programs[0].ask([request("qom-list-types")])
    names = [row["name"] for row in json.loads(answer)["return"]]
    assert len(names) > 600
    ends_it = {"microvm-machine", "x-remote-object", "qio-net-listener", "colo-compare"}
    ends_it |= {"virtio-gpu-gl-pci", "virtio-vga-gl", "chardev-parallel", "filter-dump"}
    some = [name for name in names[::7] if name not in ends_it]
    some += ["device", "pci-device", "nosuch", "user-creatable", "iothread", "qemu64-x86_64-cpu"]
    asked = [
        request("qom-list-types"),
        request("qom-list-types", abstract=True),
        *(
            request("qom-list-types", implements=name, abstract=True)
            for name in ("user-creatable", "device", "pci-device", "hotplug-handler", "nosuch")
        ),
        *(request("qom-list-properties", typename=name) for name in some),
        *(request("device-list-properties", typename=name) for name in some),
    ]
    theirs, ours = (each.ask(asked) for each in programs)
    for one, wanted, got in zip(asked, theirs, ours, strict=True):
        assert got == wanted, one


def test_the_options_of_the_command_line_are_qemus(both: Both):
    asked = [
        request("query-command-line-options"),
        request("query-command-line-options", option="drive"),
        request("query-command-line-options", option="nosuch"),
    ]
    theirs, ours = (each.ask(asked) for each in both())
    assert ours == theirs


CHANGES = (
    {},
    {"sse4.2": True},
    {"sse4_1": True, "avx2": True},
    {"svm": False},
    {"nope": 1},
    {"sse": 3},
    {"level": 3},
    {"min-level": 20},
    {"xlevel": 1 << 40},
    {"vendor": "x"},
    {"vendor": "SomebodyElse"},
    {"family": -1},
    {"stepping": 16},
    {"type": "x"},
    {"feature-words": []},
    {"tsc-frequency": 5500},
    {"arat": True, "xsaves": True, "abm": True},
)


def test_models_of_processors_are_qemus(both: Both):
    programs = both()
    [answer] = programs[0].ask([request("query-cpu-definitions")])
    names = [row["name"] for row in json.loads(answer)["return"]]
    assert len(names) > 100
    models = [{"name": name} for name in ("nope", *names[::4])]
    models += [
        {"name": name, "props": props} for props in CHANGES for name in ("base", "EPYC", "max")
    ]
    asked = [
        request("query-cpu-definitions"),
        *(
            request("query-cpu-model-expansion", type=kind, model=model)
            for kind in ("static", "full")
            for model in models
        ),
    ]
    theirs, ours = (each.ask(asked) for each in programs)
    for one, wanted, got in zip(asked, theirs, ours, strict=True):
        assert got == wanted, one


OF_BOARDS = [
    request("query-sgx"),
    request("query-current-machine"),
    request("system_wakeup"),
    request("query-hotpluggable-cpus"),
    request("query-cpu-definitions"),
    request("query-cpu-model-expansion", type="static", model={"name": "Nehalem"}),
    hmp("info sgx"),
]


@pytest.mark.parametrize("board", ["isapc", "microvm", "q35", "pc-q35-4.0"])
def test_what_boards_differ_in_is_told_alike(both: Both, board: str):
    options = "-m 16 -accel tcg -S -smp 1".split()
    theirs, ours = (normal(each.ask(OF_BOARDS)) for each in both("-M", board, *options))
    assert ours == theirs


def test_the_machine_types_that_both_have_are_alike(both: Both):
    found = []
    for each in both():
        [answer] = each.ask([request("query-machines")])
        found.append({row["name"]: row for row in json.loads(answer)["return"]})
    theirs, ours = found
    assert ours == {name: theirs[name] for name in ours}


# --- objects, network, character devices


def add(kind: str, **more: object) -> dict:
    return request("object-add", qom_type=kind, id=f"o-{kind.replace('_', '-')}", **more)


OBJECTS = [
    add("authz-pam", service="x"),
    add("authz-listfile", filename="x"),
    add("pef-guest"),
    add("memory-backend-epc", size=4096),
    add("sev-guest"),
    add("sev-guest", **{"reduced-phys-bits": 1}),
    request("qom-get", path="/objects/o-sev-guest", property="policy"),
    request("qom-list", path="/objects/o-sev-guest"),
    add("secret_keyring", serial=1),
    add("rng-egd", chardev="x"),
    add("cryptodev-vhost-user", chardev="x"),
    add("filter-mirror", netdev="x", outdev="y"),
    add("filter-redirector", netdev="x"),
    add("pr-manager-helper", path="/nope"),
    {"execute": "object-add", "arguments": {"qom-type": "qtest", "id": "q", "chardev": "x"}},
    {
        "execute": "object-add",
        "arguments": {"qom-type": "input-linux", "id": "i", "evdev": "/nope", "grab_all": True},
    },
]


def test_objects_are_made_or_refused_alike(both: Both):
    theirs, ours = (normal(each.ask(OBJECTS)) for each in both())
    assert ours == theirs


def net(kind: str, id: str, **more: object) -> dict:
    return request("netdev_add", type=kind, id=id, **more)


def inet(host: str, port: str) -> dict:
    return {"type": "inet", "host": host, "port": port}


def unix(path: str) -> dict:
    return {"type": "unix", "path": path}


NETWORK = [
    net("none", "a"),
    net("netmap", "a", ifname="x"),
    net("user", ""),
    net("user", "1 2"),
    net("user", "u1", ipv4=True, ipv6=False),
    net("user", "u2", ipv4=False, ipv6=False),
    net("vde", "v"),
    net("bridge", "b", helper="/nope"),
    {
        "execute": "netdev_add",
        "arguments": {"type": "tap", "id": "t", "fd": "1", "vnet_hdr": True},
    },
    net("tap", "t", fd="nope"),
    net("tap", "t", helper="/nope"),
    net("vhost-user", "h", chardev="nope"),
    net("vhost-user", "h", chardev="compat_monitor0"),
    net("vhost-vdpa", "p"),
    net("vhost-vdpa", "p", vhostdev="/dev/nope"),
    net("vhost-vdpa", "p", vhostfd="nope"),
    net("vhost-vdpa", "p", vhostfd="nope", vhostdev="/x"),
    net("dgram", "d"),
    net("dgram", "d", local=inet("127.0.0.1", "0")),
    net("dgram", "d", remote=inet("127.0.0.1", "9")),
    net("dgram", "d", local=unix("x"), remote=inet("127.0.0.1", "9")),
    net("dgram", "d", local=inet("127.0.0.1", "x"), remote=inet("127.0.0.1", "9")),
    net("dgram", "d", local=inet("1.2.3.4", "9"), remote=inet("127.0.0.1", "9")),
    net("dgram", "d", local={"type": "fd", "str": "zz"}),
    net("dgram", "d", local={"type": "fd", "str": "zz"}, remote={"type": "fd", "str": "zz"}),
    net("dgram", "d", local=unix("no/such"), remote=unix("there")),
    net("dgram", "d1", local=unix("here"), remote=unix("there")),
    net("dgram", "d1", local=unix("here"), remote=unix("there")),
    hmp("info network"),
    request("netdev_del", id="d1"),
    hmp("info network"),
]


def test_network_back_ends_are_made_or_refused_alike(both: Both):
    theirs, ours = (normal(each.ask(NETWORK)) for each in both())
    assert ours == theirs


def test_streams_tell_who_comes_and_goes(both: Both):
    def until(program: Conversation, event: str) -> list[str]:
        return program.lines_until(lambda line: event in line)

    said = []
    for program, folder in zip(both(), both.folders(), strict=True):
        path = folder / "stream"
        lines = program.ask([net("stream", "s", server=True, addr=unix("stream"))])
        lines += program.ask([net("stream", "f", addr=unix("no/such/place"))])
        wait_until(
            lambda program=program: "connection error" in str(program.ask([hmp("info network")]))
        )
        wait_until(lambda path=path: connects(path))
        lines += until(program, "NETDEV_STREAM_DISCONNECTED")
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(str(path))
        lines += until(program, "NETDEV_STREAM_CONNECTED")
        lines += program.ask([hmp("info network")])
        caller.close()
        lines += until(program, "NETDEV_STREAM_DISCONNECTED")
        lines += program.ask([hmp("info network"), request("netdev_del", id="s")])
        assert not path.exists()
        said.append(normal(lines))
    assert said[1] == said[0]


def connects(path: Path) -> bool:
    """Whether somebody listens at a socket; who asks leaves again."""
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


def chardev(id: str, kind: str, **data: object) -> dict:
    return request("chardev-add", id=id, backend={"type": kind, "data": data})


def place(kind: str, **data: object) -> dict:
    return {"type": kind, "data": data}


LOCAL = place("inet", host="127.0.0.1", port="9")
CHARDEVS = [
    chardev("a1", "spicevmc", type="x"),
    chardev("a2", "spicevmc", type="vdagent"),
    chardev("a3", "spiceport", fqdn="x"),
    chardev("a4", "dbus", name="x"),
    chardev("a5", "console"),
    chardev("a6", "udp", remote=LOCAL),
    chardev("a7", "udp", remote=place("unix", path="x")),
    chardev("a8", "socket", addr=place("fd", str="nope")),
    chardev("a9", "file", out="out", **{"in": "no/such/file"}),
    chardev("b1", "file", out="out", **{"in": "/dev/null"}),
    chardev("b2", "socket", addr=place("unix", path="s.sock"), wait=False),
    request("query-chardev"),
    request("query-yank"),
    request("yank", instances=[{"type": "chardev", "id": "b2"}]),
    request("yank", instances=[{"type": "chardev", "id": "b2"}, {"type": "migration"}]),
    request("chardev-change", id="nope", backend={"type": "spiceport", "data": {"fqdn": "x"}}),
    request("chardev-change", id="a4", backend={"type": "spiceport", "data": {"fqdn": "x"}}),
    request("query-chardev"),
]


def test_rarer_character_devices_are_alike(both: Both):
    theirs, ours = (normal(each.ask(CHARDEVS)) for each in both())
    assert ours == theirs


# --- descriptors


class OverSocket:
    """A client that can pass descriptors."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self._lines = self.socket.makefile("rb")
        self._lines.readline()
        self.do("qmp_capabilities")

    def do(self, name: str, fd: int | None = None, **arguments: object) -> dict:
        data = json.dumps(request(name, **arguments)).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
        self.socket.sendmsg([data], rights)
        while True:
            answer = json.loads(self._lines.readline())
            if "event" not in answer:
                return answer

    def add_client(self, protocol: str) -> list[dict]:
        mine, theirs = socket.socketpair()
        with mine, theirs:
            return [
                self.do("getfd", theirs.fileno(), fdname="x"),
                self.do("add_client", protocol=protocol, fdname="x"),
                self.do("closefd", fdname="x"),
            ]

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@pytest.fixture
def over_sockets(both: Both) -> Iterator[list[OverSocket]]:
    options = "-chardev ringbuf,id=r -chardev socket,id=s,path=s.sock,server=on,wait=off"
    listening = "-qmp unix:qmp.sock,server=on,wait=off"
    both("-M", "none", *options.split(), *listening.split())
    clients = [OverSocket(folder / "qmp.sock") for folder in both.folders()]
    yield clients
    for each in clients:
        each.close()


def test_clients_are_let_in_alike(over_sockets: list[OverSocket]):
    said = [
        [
            *(
                each.add_client(name)
                for name in ("vnc", "spice", "@dbus-display", "nope", "r", "s")
            ),
            each.do("add_client", protocol="vnc", fdname="nope"),
            each.do("query-yank"),
            each.do("yank", instances=[{"type": "chardev", "id": "s"}]),
        ]
        for each in over_sockets
    ]
    assert said[1] == said[0]


def test_devices_are_saved_and_loaded_without_memory(both: Both, tmp_path: Path):
    theirs, ours = both(*PC)
    asked = [
        request("xen-save-devices-state", filename="no/such/folder"),
        request("xen-save-devices-state", filename="state"),
        request("query-status"),
    ]
    assert normal(ours.ask(asked)) == normal(theirs.ask(asked))
    real, made = ((folder / "state").read_bytes() for folder in both.folders())
    assert made[:13] == real[:13]  # up to the name of the first section
    [answer] = ours.ask([request("xen-load-devices-state", filename="state")])
    assert "An IO error has occurred" in answer  # it lacks the configuration that a pc insists on
    [answer] = ours.ask([request("xen-load-devices-state", filename="no/such/file")])
    assert "Unable to open no/such/file: No such file or directory" in answer


def test_a_machine_without_the_head_takes_its_devices_back(both: Both):
    switch = "-global migration.send-configuration=off"
    _, ours = both(*PC, *switch.split())
    answers = ours.ask(
        [
            request("xen-save-devices-state", filename="state"),
            request("xen-load-devices-state", filename="state"),
            request("cont"),
            request("xen-load-devices-state", filename="state"),
        ]
    )
    assert ["error" in line for line in answers if "event" not in line] == [False] * 3 + [True]
