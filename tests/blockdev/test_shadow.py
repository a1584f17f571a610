"""A shadow reads like the file with the writes done to it, and leaves the file alone."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.shadow import ShadowNode

SIZE = 64

writes = st.lists(
    st.tuples(st.integers(0, SIZE + 8), st.lists(st.binary(max_size=12), max_size=3)), max_size=12
)


@settings(max_examples=200)
@given(writes, st.integers(0, SIZE + 20), st.integers(0, 40))
def test_it_reads_like_the_file_with_the_writes(
    stories: list[tuple[int, list[bytes]]], offset: int, size: int
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        before = bytes(range(SIZE))
        path.write_bytes(before)
        graph = Graph(print, print)
        below = graph.open_file(str(path), read_only=True, cache=CacheMode())
        shadow = ShadowNode(below)
        model = bytearray(before)
        for place, buffers in stories:
            shadow.write(place, buffers)
            data = b"".join(buffers)
            if data:
                model.extend(bytes(max(0, place + len(data) - len(model))))
                model[place : place + len(data)] = data
            assert shadow.size == max(len(model), place)
            model.extend(bytes(shadow.size - len(model)))
        wanted = bytes(model[offset : offset + size])
        assert shadow.read(offset, size) == wanted + bytes(size - len(wanted))
        assert path.read_bytes() == before
        graph.close()
