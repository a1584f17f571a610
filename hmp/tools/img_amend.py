"""`hmp-img amend`: change what an image is."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.qcow2.create_words import read_value
from hmp.tools.getopt import UsageError
from hmp.tools.image_options import (
    ImageOptions,
    amend_help,
    asks_for_help,
    is_for_creation,
    joined,
)
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.img_words import ImgWords, SilentFailure
from hmp.tools.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.qcow2.image import Image
    from hmp.tools.program import Program

_VERSIONS = {"0.10": 2, "v2": 2, "1.1": 3, "v3": 3}


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "ho:f:t:pq", {"force": "force"})
    lists: list[str] = []
    cache, shows_progress = "writeback", False
    for option, value in arguments:
        if option == "o":
            joined([value])
            lists.append(value)
        elif option == "t":
            cache = value
        elif option == "p":
            shows_progress = True
    if not lists:
        raise UsageError("Must specify options (-o)")
    text = joined(lists)
    progress = Progress(program, is_shown=shows_progress and not arguments.is_quiet, least=1)
    try:
        if arguments.format is not None and asks_for_help(text):
            _show_help(program, arguments.format)
            return 0
        if len(arguments.operands) != 1:
            raise QemuError("Expecting one image file name")
        mode = cache_mode(cache)
        if mode is None:
            raise QemuError(f"Invalid cache option: {cache}")
        source = ImageSource(program)
        node = arguments.open(source, arguments.operands[0], read_only=False, cache=mode[0])
        if asks_for_help(text):
            _show_help(program, node.driver)
            return 0
        _check_driver(node.driver)
        options = _options(text)
        progress.add(0)
        from blockdev.qcow2.image import Image

        assert isinstance(node, Image)
        try:
            _amend(node, options)
        except QemuError:
            progress.add(100, 0)
            raise
        source.close()
    except QemuError as error:
        program.say(str(error))
        progress.end()
        raise SilentFailure from error
    progress.add(100, 0)
    progress.add(100, 0)
    progress.end()
    return 0


def _show_help(program: Program, format: str) -> None:
    _check_driver(format)
    program.write(amend_help())


def _check_driver(format: str) -> None:
    if format != "qcow2":
        text = f"Format driver '{format}' does not support option amendment"
        raise QemuError(text if format == "raw" else f"Unknown file format '{format}'")


def _options(text: str) -> ImageOptions:
    options = ImageOptions("qcow2", amends=True)
    try:
        options.read(text)
    except QemuError as error:
        name = str(error).partition("'")[2].rstrip("'")
        if str(error).startswith("Invalid parameter") and is_for_creation("qcow2", name):
            hint = "This option is only supported for image creation"
            raise QemuError(f"{error}\n{hint}", error.errno_value) from error
        raise
    return options


def _amend(image: Image, options: ImageOptions) -> None:
    from blockdev.qcow2.amend import amend

    values = options.values
    if "compat" in values and values["compat"] not in _VERSIONS:
        raise QemuError(f"Unknown compatibility level {values['compat']}")
    _check_backing(image, values)
    for name in values:
        if name in ("data_file", "data_file_raw"):
            shown = name.replace("_", "-")
            text = f"{shown} can only be set for images that use an external data file"
            raise QemuError(text)
        if name.startswith("encrypt."):
            raise QemuError("Can't amend encryption options - encryption not present")
    lazy = values.get("lazy_refcounts")
    amend(
        image,
        version=_VERSIONS[values["compat"]] if "compat" in values else None,
        lazy_refcounts=bool(read_value("truth", "lazy_refcounts", lazy)) if lazy else None,
        refcount_bits=options.number("refcount_bits"),
        size=options.number("size"),
    )


def _check_backing(image: Image, values: dict[str, str]) -> None:
    """Only the backing file that the image has may be named."""
    if "backing_file" in values or "backing_fmt" in values:
        wanted = values.get("backing_file"), values.get("backing_fmt")
        if wanted != (image.backing_name or None, image.backing_format or None):
            text = "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead."
            raise QemuError(text)
