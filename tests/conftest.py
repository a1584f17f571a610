import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.nbd import RealServer
from tests.programs import Programs

# How long an example takes is the machine's affair, which may have others to do.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent


def _real(program: str) -> str:
    """A real program to compare with; without it a test is skipped, where CI=true it fails."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture(scope="session")
def qemu() -> str:
    return _real("qemu-system-x86_64")


@pytest.fixture(scope="session")
def qemu_img() -> str:
    return _real("qemu-img")


@pytest.fixture(scope="session")
def qemu_io() -> str:
    return _real("qemu-io")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RealServer]]:
    """Starts `qemu-nbd` on an image, with options, for as long as the test lasts."""
    program = _real("qemu-nbd")
    made: list[RealServer] = []

    def start(image: Path, *options: str) -> RealServer:
        made.append(RealServer(program, image, tmp_path, *options))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def hmp() -> str:
    """The installed program."""
    program = ROOT / ".venv" / "bin" / "hmp"
    assert program.exists(), "make test sets it up"
    return str(program)


@pytest.fixture(scope="session")
def tcpdump() -> str:
    return _real("tcpdump")


@pytest.fixture
def start(hmp: str, qemu: str, tmp_path: Path) -> Iterator[Programs]:
    """Starts either program, for as long as the test lasts."""
    programs = Programs({"hmp": hmp, "qemu": qemu}, tmp_path)
    yield programs
    programs.close()
