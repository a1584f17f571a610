"""Nodes that do something besides: copy on read, injected errors; and formats from elsewhere."""

import json
import subprocess

import pytest

from blockdev.blkdebug import BlkDebugNode, make_rules, read_config
from blockdev.errors import QemuError
from blockdev.explicit_filter import CopyOnReadNode
from blockdev.foreign import FORMATS
from blockdev.graph import Graph
from blockdev.image_create import FORMATS as MADE
from blockdev.node import CacheMode
from blockdev.null import NullNode
from blockdev.qcow2.create import create_image

SIZE = 1 << 20


def test_what_is_read_is_kept(graph, open_image, make_image, tmp_path):
    base = make_image("base.qcow2", "1M")
    node = open_image(base)
    node.write(100_000, [b"b" * 1000])
    graph.remove(node)
    create_image(str(tmp_path / "top"), SIZE, backing=str(base), backing_format="qcow2")
    top = open_image(tmp_path / "top")
    cor = CopyOnReadNode("cor", top)
    assert cor.read(100_000, 1000) == b"b" * 1000
    assert top.allocation(65536, SIZE) == (True, 65536)
    assert top.allocation(0, SIZE)[0] is False
    assert top.read(0, SIZE) == top.backing.read(0, SIZE)


def node_with(*rules):
    return BlkDebugNode("d", NullNode("n", "null-co", size=SIZE), *make_rules(rules))


def test_an_error_comes_with_its_event_and_only_once_if_so():
    rule = {"event": "write_aio", "errno": "28", "once": "on"}
    node = node_with(("inject-error", rule))
    node.write(0, [b"x"])
    node.debug_event("write_aio")
    with pytest.raises(QemuError, match=r"^No space left on device$"):
        node.write(0, [b"x"])
    node.debug_event("write_aio")
    node.write(0, [b"x"])


def test_an_error_has_its_place_and_its_kind():
    node = node_with(("inject-error", {"event": "none", "sector": "8", "iotype": "read"}))
    node.read(0, 4096)
    node.write(0, [bytes(SIZE)])
    with pytest.raises(QemuError, match=r"^Input/output error$"):
        node.read(4000, 97)


def test_states_lead_from_one_rule_to_the_next():
    node = node_with(
        ("set-state", {"event": "l1_update", "state": "1", "new_state": "2"}),
        ("inject-error", {"event": "write_aio", "state": "2"}),
    )
    node.debug_event("write_aio")
    node.write(0, [b"x"])
    node.debug_event("l1_update")
    node.debug_event("write_aio")
    with pytest.raises(QemuError):
        node.write(0, [b"x"])


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ('[inject-error]\nevent = "nosuch"\n', 'Invalid event name "nosuch"'),
        ("[inject-error]\n", "Missing event name for rule"),
        ("rubbish", "parse error"),
        ('[inject-error]\nevent = "none"\nerrno = "x"\n', "expects a number"),
    ],
)
def test_rules_that_cannot_be_are_refused(tmp_path, text, refusal):
    path = tmp_path / "rules"
    path.write_text(text)
    with pytest.raises(QemuError, match=refusal):
        make_rules(read_config(str(path)))


def test_an_image_over_injected_errors_stays_sound(tmp_path, make_image, check):
    path = make_image(size="1M")
    rules = tmp_path / "rules"
    rules.write_text('[inject-error]\nevent = "write_aio"\nerrno = "5"\nonce = "on"\n')
    graph = Graph(print)
    node = graph.open_image(
        f"blkdebug:{rules}:{path}", driver="qcow2", read_only=False, cache=CacheMode()
    )
    with pytest.raises(QemuError, match="Input/output error"):
        node.write(0, [b"x" * 65536])
    node.write(0, [b"y" * 65536])
    graph.close()
    assert check(path) == 0


@pytest.mark.parametrize("driver", sorted(FORMATS & MADE.keys() - {"luks"}))
@pytest.mark.parametrize("size", [1 << 20, 5 << 20, 33 << 20])
def test_other_formats_are_probed_and_their_size_is_told(graph, qemu_img, tmp_path, driver, size):
    path = tmp_path / "image"
    subprocess.run([qemu_img, "create", "-q", "-f", driver, str(path), str(size)], check=True)
    info = subprocess.run([qemu_img, "info", str(path)], check=True, capture_output=True, text=True)
    node = graph.open_image(str(path), driver=None, read_only=False, cache=CacheMode())
    assert node.driver == driver
    assert f"({node.size} bytes)" in info.stdout
    if node.cluster_size:
        assert f"cluster_size: {node.cluster_size}\n" in info.stdout
    assert not node.has_snapshots
    with pytest.raises(QemuError):
        node.read(0, 512)


@pytest.mark.parametrize("driver", sorted(FORMATS))
@pytest.mark.parametrize("content", [b"", b"\0" * 700, b"\xff" * 300_000, b"vhdxfile" + b"\1" * 99])
def test_rubbish_is_none_of_these(graph, tmp_path, driver, content):
    path = tmp_path / "image"
    path.write_bytes(content)
    try:
        node = graph.open_image(str(path), driver=driver, read_only=True, cache=CacheMode())
    except QemuError:
        assert not graph.nodes
    else:
        assert node.size >= 0


def test_a_name_may_be_a_whole_tree(graph, make_image, open_image):
    base, top = make_image("base", "1M"), make_image("top", "1M")
    node = open_image(base)
    node.write(0, [b"base"])
    graph.remove(node)
    tree = {
        "driver": "qcow2",
        "file": {"driver": "file", "filename": str(top)},
        "backing": {"driver": "qcow2", "file.filename": str(base)},
    }
    node = graph.open_image(
        "json:" + json.dumps(tree), driver=None, read_only=False, cache=CacheMode()
    )
    assert node.read(0, 4) == b"base"
    assert node.backing.read_only
    again = Graph(print)
    name = node.filename
    graph.close()
    node = again.open_image(name, driver="qcow2", read_only=True, cache=CacheMode())
    assert node.read(0, 4) == b"base"
    again.close()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("{", "Could not parse the JSON options"),
        ("[]", "Invalid JSON object given"),
        ("{}", "Must specify either driver or file"),
        ('{"driver":"nosuch"}', "Unknown driver 'nosuch'"),
        ('{"driver":"raw"}', 'A block device must be specified for "file"'),
        ('{"driver":"raw","file":"x"}', "Cannot find device='x' nor node-name='x'"),
        ('{"driver":"file","filename":7}', "requires a file name"),
        ('{"driver":"raw","file":' * 500 + "7" + "}" * 500, "nested too deeply"),
        ("[" * 100_000, "Could not parse the JSON options"),
    ],
)
def test_a_tree_that_cannot_be_is_refused(graph, text, refusal):
    with pytest.raises(QemuError, match=refusal):
        graph.open_image("json:" + text, driver=None, read_only=True, cache=CacheMode())
    assert not graph.nodes
