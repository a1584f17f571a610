"""Jobs that make an image, or change what it is: QMP's `blockdev-create` and `x-blockdev-amend`."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.job import Job
from blockdev.permissions import RESIZE, WRITE, conflict
from machine.block_lookup import find_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any

    from blockdev.job import Rest
    from blockdev.node import BlockNode
    from machine.machine import Machine

_OF_QCOW2 = {
    "cluster-size": "cluster_size",
    "refcount-bits": "refcount_bits",
    "extended-l2": "extended_l2",
    "compression-type": "compression_type",
    "lazy-refcounts": "lazy_refcounts",
    "preallocation": "preallocation",
    "backing-file": "backing",
    "backing-fmt": "backing_format",
}
# Formats that QEMU makes so, and we don't.
_FOREIGN = frozenset("luks nfs parallels qcow qed rbd ssh vdi vhdx vmdk vpc gluster".split())


class ImageJob(Job):
    """Does something to an image that is done before whoever asked gets an answer.

    Args:
        type: the job's, "create" or "amend".
        work: what it does.
    """

    def __init__(self, machine: Machine, id: str, type: str, work: Callable[[], object]) -> None:
        self.type = type
        self._do = work
        super().__init__(machine.jobs, id, auto_dismiss=False)

    def run(self) -> Generator[Rest, None, None]:
        self.total = 1
        try:
            self._do()
        finally:
            self.current = 1
        yield 0


def create(machine: Machine, id: str, options: Mapping[str, Any]) -> ImageJob:
    """Begin to make an image.

    Args:
        options: by QMP's names.

    Raises:
        QemuError: the job's name can't be, or no images of this driver are made so.
    """
    driver = options["driver"]
    if driver not in ("file", "qcow2") and driver not in _FOREIGN:
        raise QemuError("Driver does not support blockdev-create")

    def work() -> None:
        if driver == "file":
            _make_file(options)
        else:
            _make_image(machine, driver, options)

    job = ImageJob(machine, id, "create", work)
    job.start()
    return job


def _make_file(options: Mapping[str, Any]) -> None:
    from blockdev.raw_create import create_raw

    name = options["filename"]
    create_raw(name, options["size"], preallocation=options.get("preallocation", "off"))


def _make_image(machine: Machine, driver: str, options: Mapping[str, Any]) -> None:
    reference = options.get("file")
    if reference is None:
        raise QemuError(f"Images of format '{driver}' cannot be created")
    is_ours = isinstance(reference, dict)
    if is_ours:
        node = machine.drives.add_child(reference)
    else:
        node = find_node(machine, reference, reference)
    try:
        refusal = conflict(machine.graph, machine.drives.backends, node, [WRITE, RESIZE])
        if refusal is not None:
            raise QemuError(refusal)
        _write(node, driver, options)
    finally:
        if is_ours:
            machine.graph.remove_unused(node)


def _write(node: BlockNode, driver: str, options: Mapping[str, Any]) -> None:
    from blockdev.qcow2.create import format_node

    if driver != "qcow2":
        raise QemuError(f"Images of format '{driver}' cannot be created")
    for name in ("data-file", "encrypt"):
        if name in options:
            raise QemuError("qcow2 images with an external data file or encryption are not made")
    if options["size"] % 512:
        raise QemuError("Image size must be a multiple of 512 bytes")
    found = {new: options[name] for name, new in _OF_QCOW2.items() if name in options}
    found["version"] = 2 if options.get("version") == "v2" else 3
    format_node(node, options["size"], **found)


def amend(machine: Machine, id: str, node_name: str, options: Mapping[str, Any]) -> ImageJob:
    """Begin to change what an image is.

    Raises:
        QemuError: the job's name can't be, there is no such node, or it can't be changed so.
    """
    node = find_node(machine, "", node_name)
    if node.driver != options["driver"]:
        raise QemuError("x-blockdev-amend doesn't support changing the block driver")
    if node.driver != "qcow2":
        raise QemuError("Driver does not support x-blockdev-amend")

    def work() -> None:
        if "encrypt" in options:
            raise QemuError(
                "Only LUKS encryption options can be amended for qcow2 with blockdev-amend"
            )

    job = ImageJob(machine, id, "amend", work)
    job.start()
    return job
