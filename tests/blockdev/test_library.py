"""The driver as others import it."""

import subprocess
import textwrap
from pathlib import Path

import pytest

import blockdev.qcow2


def test_the_example_in_the_package_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qemu_img: str
) -> None:
    assert blockdev.qcow2.__doc__ is not None
    paragraphs = blockdev.qcow2.__doc__.split("\n\n")
    lines = [text for text in paragraphs if text.startswith("    ")]
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    exec(compile(textwrap.dedent("\n".join(lines)), "example", "exec"), {})
    subprocess.run([qemu_img, "check", "-q", "disk.qcow2"], check=True)
