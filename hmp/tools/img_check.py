"""`hmp-img check`: what is wrong with an image, and putting it right."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, RESIZE, WRITE
from hmp.tools.getopt import UsageError
from hmp.tools.image_source import ImageSource, cache_mode, check_format
from hmp.tools.img_words import ImgWords, SilentFailure
from hmp.tools.json_text import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from blockdev.node import BlockNode
    from blockdev.qcow2.check import CheckResult
    from hmp.tools.program import Program

_NO_CHECKS = 63  # status for formats without checks


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(
        program,
        words,
        "hf:r:T:qU",
        {"repair": "r:"},
        shared=["object", "image-opts", "output"],
    )
    repairs, cache = "", "writeback"
    for option, value in arguments:
        if option == "T":
            cache = value
        elif value in ("leaks", "all"):
            repairs = value
        else:
            raise UsageError(f"Unknown option value for -r (expecting 'leaks' or 'all'): {value}")
    name = arguments.one_operand()
    as_json = arguments.check_output()
    if cache_mode(cache) is None:
        raise QemuError(f"Invalid source cache option: {cache}")
    source = ImageSource(program)
    file = _open(source, arguments, name, read_only=not repairs)
    if file is None:
        program.say("This image format does not support checks")
        return _NO_CHECKS
    try:
        result = _checked(program, arguments, file, repairs, as_json=as_json)
    except QemuError as error:
        *lines, last = str(error).splitlines()
        _complain(program, lines)
        if lines or last.startswith("ERROR need"):
            program.complain(f"{last}\n")
        else:
            program.say(last)
        program.say(f"Check failed: {os.strerror(error.errno_value or errno.EIO)}")
        raise SilentFailure from error
    if as_json:
        arguments.tell(json_text(_values(result, name)) + "\n")
    else:
        arguments.tell("".join([f"{line}\n" for line in result.summary()]))
    if result.exit_status == 1:
        program.flush()
        program.say("Check failed")
    source.close()
    return result.exit_status


def _open(
    source: ImageSource, arguments: ImgWords, name: str, *, read_only: bool
) -> BlockNode | None:
    """The file of a qcow2 image that may be as damaged as its header bears; None: not qcow2.

    Raises:
        QemuError: it can't be opened, with the name before the reason.
    """
    from blockdev.node import CacheMode
    from blockdev.qcow2.extensions import backing_format, read_backing_name
    from blockdev.qcow2.header import read_header
    from blockdev.raw import FileNode

    if arguments.by_options or name.startswith("json:") or not name:
        node = arguments.open(source, name, read_only=read_only)
        file = node.file
        return file if node.driver == "qcow2" else None
    graph = source.graph
    try:
        check_format(arguments.format)
        if arguments.force_share and not read_only:
            raise QemuError("force-share=on can only be used with read-only images")
        file = graph.open_protocol(
            name,
            read_only=read_only,
            cache=CacheMode(),
            locking=not arguments.force_share,
        )
        format = arguments.format or graph.probe(file, read_only=read_only)
        if format != "qcow2":
            graph.open_format(format, file, read_only=read_only, cache=CacheMode())
            return None
        uses = {CONSISTENT_READ} if read_only else {CONSISTENT_READ, WRITE, RESIZE}
        if isinstance(file, FileNode):
            file.bytes.set_permissions(uses, {WRITE, RESIZE})
        header = read_header(file.read(0, 1 << 16), read_only=True)
        first_cluster = file.read(0, 1 << header.cluster_bits)
        backing = read_backing_name(first_cluster, header)
        if backing:  # only to see that it is there
            graph.open_backing_file(
                backing,
                name,
                backing_format(first_cluster, header),
                locking=not arguments.force_share,
            )
    except QemuError as error:
        raise QemuError(f"Could not open '{name}': {error}", error.errno_value) from error
    return file


def _checked(
    program: Program, arguments: ImgWords, file: BlockNode, repairs: str, *, as_json: bool
) -> CheckResult:
    """Check, repair first if asked to; findings go to standard error as they are met."""
    from blockdev.qcow2.check import check

    if not repairs:
        result = check(file)
        _complain(program, list(result.findings()))
        return result
    from blockdev.qcow2.repair import repair

    result = repair(file, leaks=True, errors=repairs == "all")
    _complain(program, list(result.repairs))
    if result.leaks_fixed or result.corruptions_fixed:
        if not as_json:
            arguments.tell("The following inconsistencies were found and repaired:\n\n")
            arguments.tell(f"    {result.leaks_fixed} leaked clusters\n")
            arguments.tell(f"    {result.corruptions_fixed} corruptions\n")
            arguments.tell("\nDouble checking the fixed image now...\n")
        _complain(program, list(result.findings()))
    return result


def _complain(program: Program, lines: list[str]) -> None:
    if lines:
        program.complain("\n".join(lines) + "\n")


def _values(result: CheckResult, name: str) -> dict[str, Any]:
    """QEMU's ImageCheck; what is 0 is left out, but for the number of failures."""
    values = {
        "image-end-offset": result.image_end_offset,
        "corruptions": result.corruption_count,
        "leaks": result.leak_count,
        "corruptions-fixed": result.corruptions_fixed,
        "leaks-fixed": result.leaks_fixed,
        "total-clusters": result.total_clusters,
        "allocated-clusters": result.allocated_clusters,
        "fragmented-clusters": result.fragmented_clusters,
        "compressed-clusters": result.compressed_clusters,
    }
    errors = sum(count for _, count in result.unreadable)
    return {
        "filename": name,
        "format": "qcow2",
        "check-errors": errors,
        **{key: value for key, value in values.items() if value},
    }
