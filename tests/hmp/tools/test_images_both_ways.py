"""Images of every kind go from our programs to the real ones and back."""

import subprocess
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parent.parent.parent.parent / ".venv" / "bin"

OPTIONS = [
    "compat=0.10",
    "compat=1.1,lazy_refcounts=on",
    "cluster_size=512",
    "cluster_size=4k",
    "cluster_size=2M",
    "refcount_bits=2",
    "refcount_bits=8",
    "refcount_bits=64",
    "extended_l2=on",
    "extended_l2=on,cluster_size=16k",
    "compression_type=zstd",
    "preallocation=metadata",
    "preallocation=falloc",
    "preallocation=full",
    "backing_file=base.qcow2,backing_fmt=qcow2",
]


def run(*words: str, folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout


@pytest.fixture(scope="module")
def folder(qemu_img: str, qemu_io: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with data, zeros and holes over another one, and its content."""
    path = tmp_path_factory.mktemp("images")
    run(qemu_img, "create", "-q", "-f", "qcow2", "base.qcow2", "5M", folder=path)
    run(qemu_io, "-c", "write -q -P 1 0 3M", "base.qcow2", folder=path)
    backing = ["-b", "base.qcow2", "-F", "qcow2", "disk.qcow2"]
    run(qemu_img, "create", "-q", "-f", "qcow2", *backing, folder=path)
    writes = ["write -q -P 2 1M 300k", "write -q -z 2M 128k", "write -q -P 3 5000k 777"]
    run(qemu_io, *[word for text in writes for word in ("-c", text)], "disk.qcow2", folder=path)
    run(qemu_img, "convert", "-O", "raw", "disk.qcow2", "content", folder=path)
    return path


TOOLS = ("img", "io")
PROGRAMS = {"ours to real": ("hmp", "qemu"), "real to ours": ("qemu", "hmp")}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("way", PROGRAMS)
def test_what_one_writes_the_other_reads_and_changes(
    way: str, options: str, folder: Path, tmp_path: Path
) -> None:
    maker, user = (
        {tool: str(BIN / f"hmp-{tool}") if kind == "hmp" else f"qemu-{tool}" for tool in TOOLS}
        for kind in PROGRAMS[way]
    )
    image = str(tmp_path / "image")
    # Compressed clusters share those of the file, so that narrow counts leave no room for more.
    is_packed = "preallocation" not in options and options != "refcount_bits=2"
    is_compressed = ["-c"] if is_packed else []
    convert = ["convert", *is_compressed, "-O", "qcow2", "-o", options, "disk.qcow2", image]
    if "backing_file" in options:
        # A name in an image is looked for beside the image.
        image = "image.qcow2"
        convert[-1] = image
    run(maker["img"], *convert, folder=folder)
    run(user["img"], "check", image, folder=folder)
    run(user["img"], "compare", "-f", "qcow2", "-F", "raw", image, "content", folder=folder)
    changes = ["write -q -P 9 64k 70k", "write -q -z -u 1M 64k", "discard -q 3M 1M"]
    words = [word for text in changes for word in ("-c", text)]
    run(user["io"], *words, image, folder=folder)
    run(user["img"], "snapshot", "-c", "s", image, folder=folder)
    run(user["io"], "-c", "write -q -P 8 0 1M", image, folder=folder)
    read = ["-c", "read -q -P 8 0 1M", "-c", "read -q -P 0 1M 64k"]
    run(maker["io"], *read, image, folder=folder)
    run(maker["img"], "check", image, folder=folder)
    run(maker["img"], "snapshot", "-a", "s", image, folder=folder)
    run(maker["io"], "-c", "read -q -P 9 64k 70k", image, folder=folder)
    run(user["img"], "check", image, folder=folder)


def test_a_disk_of_many_pieces_arrives_whole(qemu_img: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        for number in range(40):
            file.seek(number * (5 << 20))
            file.write(bytes([number + 1]) * (2 << 20))
    img = str(BIN / "hmp-img")
    run(img, "convert", "-f", "raw", "-O", "qcow2", "disk", "image", folder=tmp_path)
    run(qemu_img, "check", "image", folder=tmp_path)
    run(qemu_img, "compare", "-f", "raw", "-F", "qcow2", "disk", "image", folder=tmp_path)
    with disk.open("r+b") as file:
        file.truncate(300 << 20)
    done = subprocess.run(
        [img, "convert", "-f", "raw", "-n", "-O", "qcow2", "disk", "image"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "hmp-img: output file is smaller than input file\n"
