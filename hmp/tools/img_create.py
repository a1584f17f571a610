"""`hmp-img create`: a new image."""

from __future__ import annotations

import errno

from blockdev.chain import backing_path
from blockdev.errors import QemuError
from blockdev.image_create import too_large
from blockdev.naming import local_file, protocol_of
from hmp.tools.getopt import UsageError
from hmp.tools.image_options import (
    ImageOptions,
    asks_for_help,
    check_format_is_made,
    creation_help,
    joined,
)
from hmp.tools.img_words import LARGEST, ImgWords, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.tools.program import Program

_SECTOR = 512


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "F:b:f:ho:qu", shared=["object"])
    backing = backing_format = None
    looks_at_backing = True
    lists: list[str] = []
    for option, value in arguments:
        if option == "F":
            backing_format = value
        elif option == "b":
            backing = value
        elif option == "o":
            joined([value])
            lists.append(value)
        else:
            looks_at_backing = False
    format = "raw" if arguments.format is None else arguments.format
    options = joined(lists)
    operands = arguments.operands
    name = operands.pop(0) if operands else None
    if options and asks_for_help(options):
        is_file = name is not None and protocol_of(name) in (None, "file")
        show_help(program, format, with_file=is_file)
        return 0
    if name is None:
        raise UsageError("Expecting image file name")
    size = None
    if operands:
        size = read_size(program, "image size", operands.pop(0))
    if operands:
        raise UsageError(f"Unexpected argument: {operands[0]}")
    try:
        wanted = _options(format, options, size, backing, backing_format, name)
        _look_at_backing(program, name, wanted, looks_at_backing=looks_at_backing)
        arguments.tell(f"Formatting '{name}', fmt={format} {wanted.shown()}\n")
        program.flush()
        try:
            make_image(name, wanted)
        except QemuError as error:
            raise too_large(format) if error.errno_value == errno.EFBIG else error from error
    except _HintedError as error:
        program.complain(f"{program.name}: {name}: {error}\n{error.hint}")
        return 1
    except QemuError as error:
        raise QemuError(f"{name}: {error}", error.errno_value) from error
    return 0


class _HintedError(QemuError):
    """A failure with a hint, which QEMU doesn't end with a line break."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.hint = hint


def show_help(program: Program, format: str, *, with_file: bool) -> None:
    """Answer `-o help`."""
    check_format_is_made(format)
    program.write(creation_help(format, with_file=with_file))


def check_protocol(name: str) -> None:
    """See that a new image's name asks for nothing that nobody ever heard of.

    Raises:
        QemuError: it does.
    """
    try:
        local_file(name)
    except QemuError as error:
        if error.errno_value == errno.ENOENT or name.startswith("json:"):
            raise QemuError(f"Unknown protocol '{protocol_of(name)}'", errno.ENOENT) from error


def _options(
    format: str,
    text: str,
    size: int | None,
    backing: str | None,
    backing_format: str | None,
    name: str,
) -> ImageOptions:
    check_format_is_made(format)
    check_protocol(name)
    options = ImageOptions(format)
    options.read(text)
    if size is not None:
        if "size" in options.values:
            raise QemuError("The image size must be specified only once")
        options.set("size", str(size))
    set_backing(options, backing, backing_format)
    return options


def set_backing(options: ImageOptions, backing: str | None, backing_format: str | None) -> None:
    """Enter what `-b` and `-F` say.

    Raises:
        QemuError: the format has no backing files.
    """
    if backing is not None:
        if not options.knows("backing_file"):
            text = f"Backing file not supported for file format '{options.format}'"
            raise QemuError(text)
        options.set("backing_file", backing)
    if backing_format is not None:
        if not options.knows("backing_fmt"):
            text = f"Backing file format not supported for file format '{options.format}'"
            raise QemuError(text)
        options.set("backing_fmt", backing_format)


def _look_at_backing(
    program: Program, name: str, options: ImageOptions, *, looks_at_backing: bool
) -> None:
    """Check the backing file, and take its size where none is given."""
    backing, backing_format = options.values.get("backing_file"), options.values.get("backing_fmt")
    if backing is not None:
        if backing == name:
            raise QemuError(
                "Error: Trying to create an image with the same filename as the backing file"
            )
        if not backing:
            raise QemuError("Expected backing file name, got empty string")
        if looks_at_backing:
            driver, size = _probed(program, backing_path(name, backing), backing_format)
            if backing_format is None:
                raise _without_format(f"Detected format of {driver}.")
            if "size" not in options.values:
                options.set("size", str(size))
        elif backing_format is None:
            raise _without_format("")
    if "size" not in options.values:
        raise QemuError("Image creation needs a size parameter")


def _without_format(hint: str) -> QemuError:
    return _HintedError("Backing file specified without backing format", hint)


def _probed(program: Program, name: str, format: str | None) -> tuple[str, int]:
    """The driver and size of a backing file."""
    from blockdev.status import length_of
    from hmp.tools.image_source import ImageSource

    source = ImageSource(program)
    try:
        node = source.open_backing(name, format)
    except QemuError as error:
        raise QemuError(f"{error}\nCould not open backing image.", error.errno_value) from error
    found = node.driver, length_of(node)
    source.close()
    return found


def make_image(name: str, options: ImageOptions) -> None:
    """Make a new image of checked options.

    Raises:
        QemuError: it can't be.
    """
    file = local_file(name)
    size = options.number("size") or 0
    if options.format == "raw":
        from blockdev.raw_create import create_raw

        create_raw(file, size, preallocation=options.values.get("preallocation", "off"))
    else:
        from blockdev.qcow2.create import create_image
        from blockdev.qcow2.create_words import read_options

        if size > LARGEST - _SECTOR:
            text = "Could not resize image: Image size cannot be negative"
            raise QemuError(text, errno.EINVAL)
        unneeded = ("size", "nocow", "extent_size_hint")
        given = {k: v for k, v in options.values.items() if k not in unneeded}
        create_image(file, size, **read_options(given))
