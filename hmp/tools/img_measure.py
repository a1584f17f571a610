"""`hmp-img measure`: how large a new image will be."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.measure import Measure, measure_qcow2, measure_raw
from blockdev.status import length_of
from hmp.tools.image_options import ImageOptions, check_format_is_made, joined
from hmp.tools.image_source import ImageSource
from hmp.tools.img_convert import check_snapshot_words, load_snapshot
from hmp.tools.img_words import ImgWords, SilentFailure, read_size
from hmp.tools.json_text import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program

_FULL = ("falloc", "full")


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(
        program,
        words,
        "hf:l:o:O:U",
        {"size": "size:"},
        shared=["object", "image-opts", "output"],
    )
    size: int | None = None
    snapshot: str | None = None
    format, lists = "raw", []
    for option, value in arguments:
        if option == "O":
            format = value
        elif option == "o":
            joined([value])
            lists.append(value)
        elif option == "l":
            snapshot = value
            if value.startswith("snapshot."):
                check_snapshot_words(program, value)
        else:
            size = read_size(program, "image size", value)
    as_json = arguments.check_output()
    if len(arguments.operands) > 1:
        raise QemuError("At most one filename argument is allowed.")
    filename = arguments.operands[0] if arguments.operands else None
    asks_for_file = arguments.by_options or arguments.format is not None or snapshot is not None
    if filename is None and asks_for_file:
        raise QemuError("--image-opts, -f, and -l require a filename argument.")
    if filename is None and size is None:
        raise QemuError("Either --size N or one filename must be specified.")
    if filename is not None and size is not None:
        raise QemuError("--size N cannot be used together with a filename.")
    source = ImageSource(program)
    node = None
    if filename is not None:
        node = arguments.open(source, filename)
        if snapshot is not None:
            load_snapshot([node], snapshot)
    check_format_is_made(format)
    options = ImageOptions(format)
    try:
        options.read(joined(lists))
    except QemuError as error:
        program.say(str(error))
        program.say(f"Invalid options for file format '{format}'")
        raise SilentFailure from error
    if size is not None:
        options.set("size", str(size))
    _show(program, _measure(options, node), as_json=as_json)
    source.close()
    return 0


def _measure(options: ImageOptions, node: BlockNode | None) -> Measure:
    size = options.number("size") or 0
    if options.format == "raw":
        return measure_raw(length_of(node) if node is not None else size)
    from blockdev.qcow2.create import check_options
    from blockdev.qcow2.create_words import read_options
    from blockdev.qcow2.image import Image

    unneeded = ("size", "nocow", "extent_size_hint", "backing_file", "backing_fmt")
    given = {k: v for k, v in options.values.items() if k not in unneeded}
    wanted = read_options(given)
    check_options(**wanted)
    bitmaps = None
    if isinstance(node, Image):
        bitmaps = [(b.name, b.granularity) for b in node.bitmaps.listed() if not b.is_in_use]
    return measure_qcow2(
        size,
        node,
        version=wanted.get("version", 3),
        cluster_size=wanted.get("cluster_size", 65536),
        refcount_bits=wanted.get("refcount_bits", 16),
        extended_l2=wanted.get("extended_l2", False),
        is_full=wanted.get("preallocation", "off") in _FULL,
        has_backing="backing_file" in options.values,
        bitmaps=bitmaps,
    )


def _show(program: Program, found: Measure, *, as_json: bool) -> None:
    if as_json:
        values = {"required": found.required, "fully-allocated": found.fully_allocated}
        if found.bitmaps is not None:
            values["bitmaps"] = found.bitmaps
        program.write(json_text(values) + "\n")
        return
    program.write(f"required size: {found.required}\n")
    program.write(f"fully allocated size: {found.fully_allocated}\n")
    if found.bitmaps is not None:
        program.write(f"bitmaps size: {found.bitmaps}\n")
