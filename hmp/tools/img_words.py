"""What the subcommands of hmp-img have in common: their words, and what they open."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.tools.getopt import OptionError, OptionReader, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from blockdev.node import BlockNode, CacheMode
    from hmp.tools.image_source import ImageSource
    from hmp.tools.program import Program

LARGEST = (1 << 63) - 1

_LONG = {
    "help": "h",
    "object": "object:",
    "image-opts": "image-opts",
    "force-share": "U",
    "format": "f:",
    "output": "output:",
}
_OBJECT_TYPES = ("secret", "secret_keyring", "throttle-group", "iothread", "tls-creds-x509")
_SECRET_SOURCES = ("data", "file")


class HelpAsked(Exception):
    """An option asked for the help, and nothing else is done."""


class SilentFailure(Exception):
    """The run failed, and all that is to be said has been.

    Attributes:
        status: of the program.
    """

    def __init__(self, status: int = 1) -> None:
        super().__init__()
        self.status = status


class ImgWords:
    """The words of one subcommand.

    Args:
        program: says what is wrong.
        words: the subcommand and what follows it.
        short: its options, as for `OptionReader`.
        long: the long ones that not every subcommand has; those that many have are found by
            their letter in `short`, or by their name in `shared`.
        shared: names of common long options without a letter.

    Attributes:
        by_options: names of images are lists of options.
        force_share: others may change the images meanwhile.
        is_quiet: only errors are said.
        format: of the image, None to look at it.
        output: ``human`` or ``json``.
    """

    def __init__(
        self,
        program: Program,
        words: Sequence[str],
        short: str,
        long: Mapping[str, str] | None = None,
        *,
        shared: Sequence[str] = ("object", "image-opts"),
    ) -> None:
        self.program = program
        table = {
            name: row
            for name, row in _LONG.items()
            if name in shared or (len(row.rstrip(":")) == 1 and row[0] in short)
        }
        table.update(long or {})
        self._reader = OptionReader(words, short, table)
        self.by_options = self.force_share = self.is_quiet = False
        self.format: str | None = None
        self.output = "human"

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The options that mean something special to the subcommand, with their values."""
        try:
            for option, value in self._reader:
                if option == "h":
                    raise HelpAsked
                if option == "object":
                    check_object(value)
                elif option == "image-opts":
                    self.by_options = True
                elif option == "U":
                    self.force_share = True
                elif option == "f":
                    self.format = value
                elif option == "q":
                    self.is_quiet = True
                elif option == "output":
                    self.output = value
                else:
                    yield option, value
        except OptionError as error:
            raise UsageError(str(error)) from error

    def read(self) -> None:
        """Read all options of a subcommand that has no special ones."""
        for _ in self:
            raise AssertionError("an option that nobody looks at")

    @property
    def operands(self) -> list[str]:
        """The words that are no options, once those have been read."""
        return self._reader.operands

    def one_operand(self) -> str:
        """The only operand.

        Raises:
            UsageError: there are none or more.
        """
        if len(self.operands) != 1:
            raise UsageError("Expecting one image file name")
        return self.operands[0]

    def check_output(self) -> bool:
        """Whether the output is to be JSON."""
        if self.output not in ("human", "json"):
            raise QemuError("--output must be used with human or json as argument.")
        return self.output == "json"

    def open(
        self,
        source: ImageSource,
        name: str,
        *,
        read_only: bool = True,
        with_backing: bool = True,
        cache: CacheMode | None = None,
    ) -> BlockNode:
        """Open an image as these words ask for it."""
        return source.open(
            name,
            format=self.format,
            by_options=self.by_options,
            read_only=read_only,
            force_share=self.force_share,
            with_backing=with_backing,
            cache=cache,
        )

    def tell(self, text: str) -> None:
        """Write to standard output, unless quiet."""
        if not self.is_quiet:
            self.program.write(text)


def read_size(
    program: Program, what: str, text: str, *, least: int = 0, most: int = LARGEST
) -> int:
    """A size that was typed.

    Args:
        what: it is, for the sentence where it can't be.
    """
    from hmp.tools.io_words import SizeError, size

    try:
        value = size(text, program.say)
    except SizeError as error:
        if not error.is_too_large:
            program.say(f"Invalid {what} specified. You may use k, M, G, T, P or E suffixes for")
            text = "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes."
            raise QemuError(text) from error
        value = most + 1
    if not least <= value <= most:
        raise QemuError(f"Invalid {what} specified. Must be between {least} and {most}.")
    return value


def check_object(text: str) -> None:
    """Look at an `--object`; a secret is of no use, since nothing here is encrypted.

    Raises:
        QemuError: it can't be.
    """
    from machine.keyval import parse_keyval

    options = parse_keyval(text, "qom-type")
    kind = options.get("qom-type")
    if kind is None:
        raise QemuError("Parameter 'qom-type' is missing")
    if kind not in _OBJECT_TYPES:
        raise QemuError(f"Parameter 'qom-type' does not accept value '{kind}'")
    if "id" not in options:
        raise QemuError("Parameter 'id' is missing")
    if kind == "secret" and not any(name in options for name in _SECRET_SOURCES):
        raise QemuError("Either 'file' or 'data' must be provided")
