"""`hmp-img convert`: the content of images in a new one."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.status import length_of
from hmp.tools.image_options import ImageOptions, asks_for_help, check_format_is_made, joined
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.img_create import check_protocol, make_image, set_backing, show_help
from hmp.tools.img_words import ImgWords, SilentFailure, read_size
from hmp.tools.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program

_LEAST_ZEROS = 4096  # bytes, unless `-S` says otherwise
_MOST_ZEROS = 16 << 20
_SECTOR = 512
_MOST_COROUTINES = 16
_LONG = {
    "target-image-opts": "target-image-opts",
    "salvage": "salvage",
    "target-is-zero": "target-is-zero",
    "bitmaps": "bitmaps",
    "skip-broken-bitmaps": "skip-broken-bitmaps",
}


class _Request:
    """What a command line asks for."""

    def __init__(self, program: Program, words: Sequence[str]) -> None:
        self.program = program
        self.words = ImgWords(program, words, "hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:", _LONG)
        self.flags: set[str] = set()
        self.output_format: str | None = None
        self.backing: str | None = None
        self.backing_format: str | None = None
        self.snapshot: str | None = None
        self.least_zeros: int | None = None
        self.cache, self.source_cache = "unsafe", "writeback"
        lists: list[str] = []
        for option, value in self.words:
            self._take(option, value, lists)
        self.options = joined(lists)
        self._check()

    def _take(self, option: str, value: str, lists: list[str]) -> None:
        if option == "O":
            self.output_format = value
        elif option == "B":
            self.backing = value
        elif option == "F":
            self.backing_format = value
        elif option == "o":
            joined([value])
            lists.append(value)
        elif option == "l":
            self.snapshot = value
            if value.startswith("snapshot."):
                check_snapshot_words(self.program, value)
        elif option == "S":
            self.least_zeros = self._zeros(value)
        elif option == "t":
            self.cache = value
        elif option == "T":
            self.source_cache = value
        elif option == "m":
            number = int(value) if value.isascii() and value.isdigit() else 0
            if not 1 <= number <= _MOST_COROUTINES:
                raise QemuError(
                    "Invalid number of coroutines. Allowed number of coroutines is between 1 and "
                    f"{_MOST_COROUTINES}"
                )
        elif option == "r":
            read_size(self.program, "rate limit", value)
        else:
            self.flags.add(option)

    def _zeros(self, text: str) -> int:
        size = read_size(self.program, "buffer size for sparse output", text)
        if size % _SECTOR or size > _MOST_ZEROS:
            raise QemuError(
                "Invalid buffer size for sparse output specified. Valid sizes are multiples of "
                f"{_SECTOR} up to {_MOST_ZEROS}. Select 0 to disable sparse detection (fully "
                "allocates output)."
            )
        return size

    def _check(self) -> None:
        flags = self.flags
        if self.output_format is None and "target-image-opts" not in flags:
            self.output_format = "raw"
        if "skip-broken-bitmaps" in flags and "bitmaps" not in flags:
            raise QemuError("Use of --skip-broken-bitmaps requires --bitmaps")
        if "c" in flags and "C" in flags:
            raise QemuError("Cannot enable copy offloading when -c is used")
        if self.least_zeros is not None and "C" in flags:
            raise QemuError("Cannot enable copy offloading when -S is used")
        if "salvage" in flags and "C" in flags:
            raise QemuError("Cannot use copy offloading in salvaging mode")
        if "target-image-opts" in flags and "n" not in flags:
            raise QemuError("--target-image-opts requires use of -n flag")
        if "n" in flags and self.options:
            raise QemuError("-o has no effect when skipping image creation")
        if "target-is-zero" in flags and "n" not in flags:
            raise QemuError("--target-is-zero requires use of -n flag")

    @property
    def sources(self) -> list[str]:
        return self.words.operands[:-1]

    @property
    def target(self) -> str | None:
        return self.words.operands[-1] if len(self.words.operands) > 1 else None


def run(program: Program, words: Sequence[str]) -> int:
    request = _Request(program, words)
    if request.options and asks_for_help(request.options):
        show_help(program, request.output_format or "raw", with_file=request.target is not None)
        return 0
    if request.target is None:
        raise QemuError("Must specify image file name")
    mode = cache_mode(request.source_cache)
    if mode is None:
        raise QemuError(f"Invalid source cache option: {request.source_cache}")
    is_shown = "p" in request.flags and not request.words.is_quiet
    progress = Progress(program, is_shown=is_shown, least=1)
    progress.add(0)
    source = ImageSource(program)
    try:
        is_done = _convert(program, request, source, progress)
    except QemuError as error:
        program.say(str(error))
        progress.end()
        raise SilentFailure from error
    if is_done:
        progress.add(100, 0)
    progress.end()
    return 0


def _convert(program: Program, request: _Request, source: ImageSource, progress: Progress) -> bool:
    """Copy; False where QEMU's tool does nothing either, and calls it a success."""
    nodes = [_open_source(request, source, name) for name in request.sources]
    if request.snapshot is not None:
        load_snapshot(nodes, request.snapshot)
    target, has_backing = _target(program, request, source, nodes)
    if target is None:
        return False
    _check_target(request, nodes, target)
    from blockdev.convert import Conversion

    least_zeros = _LEAST_ZEROS if request.least_zeros is None else request.least_zeros
    conversion = Conversion(
        nodes,
        target,
        is_zero="target-is-zero" in request.flags or ("n" not in request.flags and least_zeros > 0),
        has_backing=has_backing,
        least_zeros=least_zeros,
        compresses="c" in request.flags,
        salvages="salvage" in request.flags,
    )
    for percent in conversion.run():
        progress.add(percent, 0)
    if "bitmaps" in request.flags:
        _copy_bitmaps(request, nodes[0], target)
    source.close(target)
    source.close()
    return True


def _open_source(request: _Request, source: ImageSource, name: str) -> BlockNode:
    """Open an image that nobody is to write to meanwhile, whatever its format."""
    node = request.words.open(source, name)
    try:
        node.claim(attached=True)
    except QemuError as error:
        raise QemuError(f"Could not open '{name}': {error}", error.errno_value) from error
    return node


def _target(
    program: Program, request: _Request, source: ImageSource, nodes: Sequence[BlockNode]
) -> tuple[BlockNode | None, bool]:
    """The target, made anew unless it is there; and whether it has a backing file to mind."""
    name, format = request.target, request.output_format
    assert name is not None
    backing, backing_format = request.backing, request.backing_format
    options = None
    if "n" not in request.flags:
        assert format is not None
        check_format_is_made(format)
        check_protocol(name)
        options = ImageOptions(format)
        options.read(request.options)
        options.set("size", str(sum(map(length_of, nodes))))
        set_backing(options, backing, backing_format)
        backing = options.values.get("backing_file")
        backing_format = options.values.get("backing_fmt")
        if backing is not None and backing_format is None:
            raise QemuError("Use of backing file requires explicit backing format")
    if "c" in request.flags and options is not None:
        preallocation = options.values.get("preallocation", "off")
        if preallocation != "off":
            raise QemuError("Compression and preallocation not supported at the same time")
    if len(nodes) > 1 and backing is not None:
        raise QemuError(
            "Having a backing file for the target makes no sense when concatenating multiple "
            "input images"
        )
    mode = cache_mode(request.cache)
    if mode is None:
        raise QemuError(f"Invalid cache option: {request.cache}")
    if options is not None:
        try:
            make_image(name, options)
        except QemuError as error:
            text = f"{name}: error while converting {format}: {error}"
            raise QemuError(text, error.errno_value) from error
    if "target-is-zero" in request.flags and backing is not None:
        program.say("Cannot use --target-is-zero when the destination image has a backing file")
        return None, True
    target = source.open(
        name,
        format=format,
        by_options="target-image-opts" in request.flags,
        read_only=False,
        cache=mode[0],
    )
    return target, backing is not None


def _check_target(request: _Request, nodes: Sequence[BlockNode], target: BlockNode) -> None:
    if "bitmaps" in request.flags and target.driver != "qcow2":
        raise QemuError(f"Format driver '{target.driver}' does not support bitmaps")
    if "c" in request.flags and target.driver != "qcow2":
        raise QemuError("Compression not supported for this file format")
    if "n" in request.flags and length_of(target) < sum(map(length_of, nodes)):
        raise QemuError("output file is smaller than input file")


def check_snapshot_words(program: Program, text: str) -> dict[str, str]:
    """The id and the name in `snapshot.id=ID,snapshot.name=NAME`."""
    from hmp.tools.image_options import split_list

    found: dict[str, str] = {}
    for name, value in split_list(text):
        if name not in ("snapshot.id", "snapshot.name"):
            program.say(f"Invalid parameter '{name}'")
            raise QemuError(f"Failed in parsing snapshot param '{text}'")
        found[name.removeprefix("snapshot.")] = value or ""
    return found


def load_snapshot(nodes: Sequence[BlockNode], text: str) -> None:
    """Show a snapshot of an image instead of its active disk."""
    from blockdev.qcow2.image import Image
    from blockdev.snapshot import find_by_id_and_name
    from hmp.tools.image_options import split_list

    if text.startswith("snapshot."):
        words = {name.removeprefix("snapshot."): value for name, value in split_list(text)}
        wanted = [(words.get("id"), words.get("name"))]
    else:
        if len(nodes) > 1:
            raise QemuError("No support for concatenating multiple snapshot")
        wanted = [(text, None), (None, text)]
    node = nodes[0]
    try:
        if not isinstance(node, Image):
            raise QemuError(
                f"Block format '{node.driver}' used by device '' does not support temporarily "
                "loading internal snapshots"
            )
        for id, name in wanted:
            snapshot = find_by_id_and_name(node.snapshots(), id, name)
            if snapshot is not None:
                node.load_snapshot(snapshot)
                return
        raise QemuError("Can't find snapshot")
    except QemuError as error:
        raise QemuError(f"Failed to load snapshot: {error}", error.errno_value) from error


def _copy_bitmaps(request: _Request, node: BlockNode, target: BlockNode) -> None:
    from blockdev.qcow2.image import Image

    assert isinstance(target, Image)
    if isinstance(node, Image):
        from blockdev.qcow2.bitmap_store import copy_bitmaps

        skipped = copy_bitmaps(node, target, skips_broken="skip-broken-bitmaps" in request.flags)
        for name in skipped:
            request.program.say(f"warning: Skipping inconsistent bitmap '{name}'")
