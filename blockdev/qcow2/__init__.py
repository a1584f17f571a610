"""The qcow2 driver: every image that QEMU 7.2 makes, but for encryption and external data.

An image is opened through a graph of nodes, which finds its backing files and takes QEMU's locks:

    from blockdev.graph import Graph
    from blockdev.node import CacheMode
    from blockdev.qcow2.check import check
    from blockdev.qcow2.create import create_image
    from blockdev.snapshot import Snapshot

    create_image("disk.qcow2", 1 << 30, cluster_size=4096)
    graph = Graph(print)
    disk = graph.open_image("disk.qcow2", driver="qcow2", read_only=False, cache=CacheMode())
    disk.write(512, [b"head", b"tail"])
    disk.snapshot_create(Snapshot(name="before", date_sec=0), None)
    disk.write_zeroes(0, 1 << 20)
    disk.snapshot_goto("before")
    assert disk.read(512, 8) == b"headtail"
    disk.flush()
    assert check(disk.file).is_clean
    graph.close()

What a node can do is said in `blockdev.node.BlockNode`; all that goes wrong is a
`blockdev.errors.QemuError`.  What is written survives a crash from the next `flush` on, a
snapshot from the return of its call.  `check` and `repair` read the file without the driver.

Reading order: `header` and `extensions` say what the first cluster is, `entries` what a table's
bits are; `lookup` reads through the tables, `mapping` writes; `refcount_table`, `refcounts` and
`allocator` count; `metadata` has all of that and the order of the writes; `image` is the node over
it.  `snapshots` with `sharing` and `columns` is what is made of counts and marks.  `survey`,
`stored_counts` and the `raw_` modules are the checker's own eye, and `check` and `repair` what it
concludes.
"""

import sys

# Importing `array` brings the package `collections` in, for an abstract class that it then asks
# that for: a tenth of the whole start of `hmp-img`.  The class is in a module that Python has
# loaded already, which stands for the package meanwhile.
if "array" not in sys.modules and "collections" not in sys.modules:
    import _collections_abc

    sys.modules["collections"] = type(sys)("collections")
    sys.modules["collections.abc"] = _collections_abc
    try:
        import array  # noqa: F401  # for those who import it next
    finally:
        del sys.modules["collections"], sys.modules["collections.abc"]
