"""A state that goes into an image's vmstate area and comes out of it, ours and QEMU's."""

import os
import subprocess

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.snapshot import Snapshot
from blockdev.vmstate_area import VMStateReader
from machine.migration.area import AreaReader, AreaWriter
from machine.migration.qemufile import QEMUFileReader
from machine.runstate import RunState
from tests.machine.machines import MIB, SavedMachine
from tests.machine.reference import RealMonitor


@pytest.fixture
def image(qemu_img, tmp_path):
    path = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    return path


@pytest.fixture
def open_node(image):
    graphs = []

    def open_():
        graph = Graph(pytest.fail)
        graphs.append(graph)
        return graph.open_image(str(image), driver="qcow2", read_only=False, cache=CacheMode())

    yield open_, lambda: graphs.pop().close()
    while graphs:
        graphs.pop().close()


def save_into(node, machine, tag):
    area = node.open_vmstate()
    file = machine.save(AreaWriter(area), RunState.PAUSED)
    file.close()
    snapshot = Snapshot(name=tag, date_sec=1_700_000_000, vm_state_size=file.transferred)
    node.snapshot_create(snapshot, area)


def test_what_we_save_into_an_image_comes_back_to_us_and_to_qemu(qemu, image, open_node, tmp_path):
    open_, close = open_node
    machine = SavedMachine(4 * MIB)
    machine.ram.write(MIB - 777, os.urandom(2 * MIB))
    node = open_()
    save_into(node, machine, "ours")
    target = SavedMachine(4 * MIB)
    target.load(AreaReader(node, node.snapshots()[0]))
    assert target.content() == machine.content()
    assert target.reports == []
    close()
    saved = tmp_path / "memory"
    command = [qemu, "-M", "none", "-m", "4", "-drive", f"if=none,file={image}", "-loadvm", "ours"]
    with RealMonitor(command) as monitor:
        assert monitor.ask(f'pmemsave 0 {4 * MIB} "{saved}"') == []
    assert (monitor.stderr, monitor.status) == ([], 0)
    assert saved.read_bytes() == machine.content()


def test_what_qemu_saved_into_an_image_comes_to_us(qemu, image, open_node, tmp_path):
    content = tmp_path / "content"
    content.write_bytes(os.urandom(MIB + 5))
    loader = f"loader,file={content},addr=0x180000,force-raw=on"
    command = [qemu, "-M", "none", "-m", "4", "-device", loader, "-drive", f"if=none,file={image}"]
    with RealMonitor(command) as monitor:
        assert monitor.ask("savevm theirs") == []
    open_, _ = open_node
    node = open_()
    machine = SavedMachine(4 * MIB)
    machine.load(AreaReader(node, node.snapshots()[0]))
    assert machine.reports == []
    expected = (bytes(0x180000) + content.read_bytes()).ljust(4 * MIB, b"\0")
    assert machine.content() == expected
    assert machine.global_state.state is RunState.RUNNING


def test_behind_the_state_there_are_zeros_without_end(open_node):
    open_, _ = open_node
    node = open_()
    machine = SavedMachine(0)
    save_into(node, machine, "a")
    file = QEMUFileReader(AreaReader(node, node.snapshots()[0]))
    assert file.get_buffer(765) == machine.save(state=RunState.PAUSED)
    assert file.get_buffer(3 * MIB) == bytes(3 * MIB)
    assert file.error == 0


def test_an_area_that_cannot_be_read_is_an_error_of_the_stream():
    class Unreadable(VMStateReader):
        def read_into(self, offset, view):
            raise QemuError("gone", 6)

    class Node(BlockNode):
        def vmstate_reader(self, snapshot):
            return Unreadable()

    node = Node("node", "file", read_only=False, cache=CacheMode())
    file = QEMUFileReader(AreaReader(node, Snapshot(name="a", date_sec=0)))
    assert file.get_be32() == 0
    assert file.error == 5


def test_a_channel_may_be_read_in_pieces(open_node):
    open_, _ = open_node
    node = open_()
    save_into(node, SavedMachine(0), "a")
    reader = AreaReader(node, node.snapshots()[0])
    assert reader.read(4) + reader.read(4) == b"QEVM\0\0\0\3"
