"""The completion scripts, asked as a shell asks them."""

import subprocess
import sys

import pytest

from hmp.tools.completion import PARSERS, SHELLS


def script(program: str, shell: str) -> str:
    argv = [sys.executable, "-m", "hmp.tools.completion", program, shell]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("program", PARSERS)
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script(program: str, shell: str) -> None:
    assert program in script(program, shell)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["hmp", "-determ"], "-deterministic"),
        (["hmp", "-incom"], "-incoming"),
        (["hmp-img", "resi"], "resize"),
        (["hmp-io", "--read"], "--read-only"),
    ],
)
def test_bash_completes(line: list[str], expected: str, tmp_path) -> None:
    (tmp_path / "script").write_text(script(line[0], "bash"))
    words = " ".join(f"'{word}'" for word in line)
    shell = (
        f"source {tmp_path}/script; COMP_WORDS=({words}); COMP_CWORD=1; "
        f"function=$(complete -p {line[0]} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        f"$function {line[0]} {line[1]} {line[0]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert expected in done.stdout.split()


def test_a_wrong_command_line_is_told() -> None:
    argv = [sys.executable, "-m", "hmp.tools.completion", "qemu", "bash"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")
