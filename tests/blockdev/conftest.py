import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def graph(reports: list[str]) -> Graph:
    return Graph(reports.append)


@pytest.fixture
def open_image(graph: Graph) -> Iterator[Callable[..., BlockNode]]:
    def open_(path: Path, *, driver: str | None = "qcow2", read_only: bool = False) -> BlockNode:
        return graph.open_image(str(path), driver=driver, read_only=read_only, cache=CacheMode())

    yield open_
    graph.close()


@pytest.fixture
def make_image(qemu_img: str, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "disk.qcow2", size: str = "8M", *options: str) -> Path:
        path = tmp_path / name
        command = [qemu_img, "create", "-q", "-f", "qcow2", *options, str(path), size]
        subprocess.run(command, check=True)
        return path

    return make


@pytest.fixture
def check(qemu_img: str) -> Callable[..., int]:
    """`qemu-img check` of an image that may be open: 0 is clean, 3 leaks, the rest is worse."""

    def run(path: Path) -> int:
        command = [qemu_img, "check", "-q", "-U", str(path)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    return run
