"""How character devices are spelled."""

import subprocess

import pytest

from blockdev.errors import QemuError
from machine.chardev.device import Chardev, open_chardev
from machine.chardev.options import ChardevOptions, parse_chardev, parse_legacy
from machine.loop import MainLoop


def parse(text: str) -> ChardevOptions:
    return parse_legacy(text, "compat_monitor0", print)


def test_a_word_without_options_is_a_kind() -> None:
    options = parse("stdio")
    assert (options.backend, options.label, options.values) == ("stdio", "compat_monitor0", {})
    assert not options.mux


def test_a_socket_is_a_path_and_options_old_and_new() -> None:
    new = parse("unix:a,,b.sock,server=on,wait=off")
    old = parse("unix:a,,b.sock,server,nowait")
    assert new.values == old.values == {"path": "a,b.sock", "server": "on", "wait": "off"}
    assert parse("unix:a,nodelay,noserver").values == {
        "path": "a",
        "nodelay": "on",
        "server": "off",
    }


def test_a_port_is_a_host_a_number_and_options() -> None:
    options = parse("telnet:localhost:4444,server=on")
    assert options.values == {
        "host": "localhost",
        "port": "4444",
        "telnet": "on",
        "server": "on",
    }
    assert parse("tcp::99").values == {"host": "", "port": "99"}


def test_mon_asks_for_a_multiplexer() -> None:
    options = parse("mon:stdio")
    assert options.mux
    assert options.backend == "stdio"


def test_a_keyed_device_has_a_kind_and_an_id() -> None:
    options = parse_chardev("ringbuf,size=64k,id=r0,mux=on")
    assert (options.backend, options.label, options.mux) == ("ringbuf", "r0", True)
    assert options.size("size", 0) == 65536
    assert parse_chardev("tty,id=t,path=/dev/null").backend == "serial"


IDENTIFIER = (
    "Parameter 'id' expects an identifier\n"
    "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
)
SIZE = (
    "Parameter 'size' expects a non-negative number below 2^64\n"
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)
REFUSED = {
    "-chardev": {
        "null": "chardev: no id specified",
        "id=x": 'chardev: "x" missing backend',
        "backend=,id=x": "'' is not a valid char driver name",
        "nosuch,id=x": "'nosuch' is not a valid char driver name",
        "null,id=9x": IDENTIFIER,
        "null,id=a b": IDENTIFIER,
        "file,id=x": "chardev: file: no filename given",
        "pipe,id=x": "chardev: pipe: no device path given",
        "serial,id=x": "chardev: serial/tty: no device path given",
        "ringbuf,id=x,size=3": "size of ringbuf chardev must be power of two",
        "ringbuf,id=x,size=x": SIZE,
        "stdio,id=x,signal=maybe": "Parameter 'signal' expects 'on' or 'off'",
        "socket,id=x,path=a,foo=1": "Invalid parameter 'foo'",
        "socket,id=x,path=a,reconnect=x": "Parameter 'reconnect' expects a number",
        "socket,id=x,path=a,host=b,port=1": (
            "None or one of 'path', 'fd' or 'host' option required."
        ),
        "socket,id=x,host=localhost,server=on": "chardev: socket: no port given",
        "socket,id=x": "Unable to parse FD number ",
        "socket,id=x,path=missing": "Failed to connect to 'missing': No such file or directory",
    },
    "-monitor": {
        "foo": "'foo' is not a valid char driver",
        "": "'' is not a valid char driver",
        "mon:foo": "'foo' is not a valid char driver",
        "stdiox": "'stdiox' is not a valid char driver",
        "pty:x": "'pty:x' is not a valid char driver",
        "unix:a,server=maybe": "Parameter 'server' expects 'on' or 'off'",
        "unix:a,foo=bar": "Invalid parameter 'foo'",
        "unix:a,server=on,nowait=on": "Invalid parameter 'nowait'",
        "tcp:": "",
        "tcp:127.0.0.1": "",
        f"tcp:{'x' * 65}:1": "",
        "unix:a,nowait": "'wait' option is incompatible with socket in client connect mode",
        "unix:a,server=on,wait=off,reconnect=3": (
            "'reconnect' option is incompatible with socket in server listen mode"
        ),
        "file:": "Could not open '': No such file or directory",
        "file:/nonexistent/x": "Could not open '/nonexistent/x': No such file or directory",
        "pipe:nosuch": "Could not open 'nosuch': No such file or directory",
        "/dev/nosuch": "Could not open '/dev/nosuch': No such file or directory",
    },
}
CASES = [
    pytest.param(option, text, words, id=f"{option} {text[:30]}")
    for option, table in REFUSED.items()
    for text, words in table.items()
]


@pytest.mark.parametrize(("option", "text", "words"), CASES)
def test_each_mistake_is_refused_in_the_real_words(
    option: str,
    text: str,
    words: str,
    qemu: str,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    reported: list[str] = []

    def make() -> Chardev:
        if option == "-chardev":
            return open_chardev(parse_chardev(text), MainLoop())
        options = parse_legacy(text, "compat_monitor0", reported.append)
        return open_chardev(options, MainLoop())

    with pytest.raises(QemuError) as caught:
        make()
    said = [*reported, str(caught.value)]
    if words:
        assert said[0] == words
    if len(said) > 1 or not words:
        assert said[-1] == f"parse error: {text}"

    args = f"-M none -nodefaults -display none {option}".split()
    real = subprocess.run([qemu, *args, text], capture_output=True, text=True)
    prefix = f"qemu-system-x86_64: {option} {text}: "
    assert real.stderr == "".join(f"{prefix}{line}\n" for line in said)
