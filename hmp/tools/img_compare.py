"""`hmp-img compare`: whether two images have the same content."""

from __future__ import annotations

from blockdev.compare import Difference, NoStatus, compare
from blockdev.errors import QemuError
from blockdev.status import length_of
from hmp.tools.getopt import UsageError
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.img_words import ImgWords
from hmp.tools.progress import Progress, single

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.tools.program import Program

_DIFFERENT, _NOT_OPENED, _NO_STATUS, _NOT_READ = 1, 2, 3, 4  # exit status


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "hf:F:T:pqsU")
    second_format, cache = None, "writeback"
    shows_progress = strict = False
    for option, value in arguments:
        if option == "F":
            second_format = value
        elif option == "T":
            cache = value
        elif option == "p":
            shows_progress = True
        else:
            strict = True
    if len(arguments.operands) != 2:
        raise UsageError("Expecting two image file names")
    first_name, second_name = arguments.operands
    progress = Progress(program, is_shown=shows_progress and not arguments.is_quiet, least=2)
    mode = cache_mode(cache)
    if mode is None:
        program.say(f"Invalid source cache option: {cache}")
        progress.end()
        return _NOT_OPENED
    source = ImageSource(program)
    try:
        first = arguments.open(source, first_name, cache=mode[0])
        second = source.open(
            second_name,
            format=second_format,
            by_options=arguments.by_options,
            force_share=arguments.force_share,
            cache=mode[0],
        )
    except QemuError as error:
        program.say(str(error))
        progress.end()
        return _NOT_OPENED
    progress.add(0)
    total = max(length_of(first), length_of(second))
    try:
        for length in compare(first, second, (first_name, second_name), strict=strict):
            if length is None:
                arguments.tell("Warning: Image size mismatch!\n")
            else:
                progress.add(single(length / total) * 100)
        arguments.tell("Images are identical.\n")
        result = 0
    except Difference as difference:
        arguments.tell(f"{difference}\n")
        result = _DIFFERENT
    except QemuError as error:
        program.say(str(error))
        result = _NO_STATUS if isinstance(error, NoStatus) else _NOT_READ
    progress.end()
    source.close()
    return result
