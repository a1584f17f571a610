"""`hmp-img info`: what an image says of itself, and those under it."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.image_info import image_info, image_text
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import ImgWords
from hmp.tools.json_text import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(
        program,
        words,
        "hf:U",
        {"backing-chain": "backing-chain"},
        shared=["object", "image-opts", "output"],
    )
    shows_chain = bool([option for option, _ in arguments])
    name = arguments.one_operand()
    as_json = arguments.check_output()
    source = ImageSource(program)
    nodes = _chain(source, arguments, name) if shows_chain else _one(source, arguments, name)
    if as_json:
        infos = [image_info(node) for node in nodes]
        program.write(json_text(infos if shows_chain else infos[0]) + "\n")
    else:
        program.write("\n".join([image_text(node) for node in nodes]))
    source.close()
    return 0


def _one(source: ImageSource, arguments: ImgWords, name: str) -> Iterator[BlockNode]:
    yield arguments.open(source, name, with_backing=False)


def _chain(source: ImageSource, arguments: ImgWords, name: str) -> Iterator[BlockNode]:
    """An image and those that it names, one under the other."""
    seen: set[str] = set()
    node = arguments.open(source, name, with_backing=False)
    while True:
        yield node
        if not node.backing_name:
            return
        seen.add(name)
        info = image_info(node)
        name = info["full-backing-filename"]
        if name in seen:
            raise QemuError(f"Backing file '{name}' creates an infinite loop.")
        node = source.open(
            name,
            format=info.get("backing-filename-format"),
            force_share=arguments.force_share,
            with_backing=False,
        )
