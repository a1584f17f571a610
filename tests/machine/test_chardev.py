"""Character devices and who is at their other end."""

import os
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from machine.chardev.device import Chardev, open_chardev
from machine.chardev.options import parse_chardev, parse_legacy
from machine.chardev.socket import SocketDevice
from machine.chardev.stream import PtyDevice, StdioDevice
from machine.chardev.telnet import TelnetInput
from machine.loop import MainLoop

PATIENCE_S = 5


class User:
    """A user of devices, its events, and the loop that brings them."""

    def __init__(self) -> None:
        self.loop = MainLoop()
        self.events: list[str | bytes] = []
        self.told: list[str] = []
        self.reported: list[str] = []
        self.devices: list[Chardev] = []

    def make(self, word: str) -> Chardev:
        """Open a device, attached if it is no socket that waits."""
        if "id=" in word:
            options = parse_chardev(word)
        else:
            options = parse_legacy(word, "c0", self.reported.append)
        device = open_chardev(options, self.loop, self.reported.append, self.told.append)
        self.devices.append(device)
        device.attach(
            lambda: self.events.append("opened"),
            self.events.append,
            lambda: self.events.append("closed"),
        )
        return device

    def wait(self, is_done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        self.loop.call_at(time.monotonic_ns() + PATIENCE_S * 10**9, lambda: None)
        self.loop.run_until(lambda: bool(is_done()) or time.monotonic() > deadline)
        assert is_done(), self.events

    def wait_for(self, *events: str | bytes) -> None:
        """Until these are the events, pieces of input joined; then forget them."""
        self.wait(lambda: self._joined() == list(events))
        self.events.clear()

    def settle(self) -> None:
        for _ in range(5):
            self.loop.run_ready()

    def _joined(self) -> list[str | bytes]:
        joined: list[str | bytes] = []
        for event in self.events:
            if joined and isinstance(event, bytes) and isinstance(joined[-1], bytes):
                joined[-1] += event
            else:
                joined.append(event)
        return joined


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    monkeypatch.chdir(tmp_path)
    user = User()
    yield user
    for device in user.devices:
        device.close()
    # Whoever closes takes back all that was asked of the loop.
    assert not user.loop._readers
    assert not user.loop._writers
    user.loop.close()


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.connect(path)
    return client


# -- nobody there


@pytest.mark.parametrize("kind", ["null", "vc"])
def test_at_a_null_device_nobody_ever_comes(user: User, kind: str) -> None:
    device = user.make(kind)
    device.write(b"lost")
    user.settle()
    assert user.events == []
    assert device.filename == kind


def test_a_ring_buffer_keeps_the_newest_bytes(user: User) -> None:
    device = user.make("ringbuf,id=r,size=4")
    device.write(b"abc")
    assert device.read(2) == b"ab"
    device.write(b"defg")
    assert device.read(99) == b"defg"
    assert device.read(99) == b""
    device.write(b"0123456789")
    assert device.read(99) == b"6789"


def test_output_is_copied_to_a_log(user: User, tmp_path: Path) -> None:
    user.make("null,id=a,logfile=log").write(b"one")
    user.make("null,id=b,logfile=log,logappend=on").write(b"two")
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    user.make("null,id=c,logfile=log").write(b"three")
    assert (tmp_path / "log").read_bytes() == b"three"


# -- files and pipes


def test_a_file_takes_the_output(user: User, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    device = user.make("file:out")
    device.write(b"x" * 100)
    user.settle()
    assert user.events == ["opened"]
    assert device.filename == "file"
    assert (tmp_path / "out").read_bytes() == b"x" * 100
    user.make("file,id=x,path=out,append=on").write(b"y")
    assert (tmp_path / "out").read_bytes() == b"x" * 100 + b"y"


def test_a_pair_of_pipes_is_a_device_that_outlives_its_users(user: User, tmp_path: Path) -> None:
    for name in ("p.in", "p.out"):
        os.mkfifo(tmp_path / name)
    device = user.make("pipe:p")
    assert device.filename == "pipe"
    for text in (b"one", b"two"):
        with open("p.in", "wb") as pipe:
            pipe.write(text)
    user.wait_for("opened", b"onetwo")
    device.write(b"x" * 300000)
    with open("p.out", "rb", buffering=0) as pipe:
        got = bytearray()
        while len(got) < 300000:
            user.loop.run_ready()
            got += pipe.read(65536)
    assert got == b"x" * 300000


def test_a_character_device_of_the_host_is_a_serial_line(user: User) -> None:
    device = user.make("/dev/null")
    device.write(b"x")
    assert device.filename == "serial"
    user.wait_for("opened", "closed")


# -- a terminal


def test_a_new_terminal_has_users_that_come_and_go(user: User) -> None:
    device = user.make("pty")
    assert isinstance(device, PtyDevice)
    assert user.told == [f"char device redirected to {device.path} (label c0)"]
    assert device.filename == f"pty:{device.path}"
    device.write(b"lost")
    user.settle()
    assert user.events == []
    for _ in range(2):
        terminal = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        try:
            assert not termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON)
            user.wait_for("opened")
            os.write(terminal, b"a\r\n\x03")
            user.wait_for(b"a\r\n\x03")
            device.write(b"answer\n")
            assert os.read(terminal, 100) == b"answer\n"
        finally:
            os.close(terminal)
        user.wait_for("closed")


def test_a_terminal_that_is_not_read_does_not_hold_up_the_loop(user: User) -> None:
    device = user.make("pty")
    terminal = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
    user.wait_for("opened")
    device.write(b"x" * 1000000)
    device.write(b"y")
    got = bytearray()
    while not got.endswith(b"y"):
        user.loop.run_ready()
        got += os.read(terminal, 4096)
    assert got == b"x" * 1000000 + b"y"
    os.close(terminal)
    user.wait_for("closed")


# -- standard input and output


def test_standard_input_and_output_are_one_device_only(user: User) -> None:
    first = StdioDevice(user.loop, "a")
    try:
        with pytest.raises(QemuError, match="cannot use stdio by multiple character devices"):
            StdioDevice(user.loop, "b")
    finally:
        first.close()
    StdioDevice(user.loop, "b").close()


# -- sockets


def test_a_server_has_one_client_at_a_time(user: User) -> None:
    device = user.make("unix:s,server=on,wait=off")
    assert device.filename == "disconnected:unix:s,server=on"
    with connect("s") as first, connect("s") as second:
        second.send(b"early")
        first.send(b"hello")
        user.wait_for("opened", b"hello")
        assert device.filename == "unix:s,server=on"
        device.write(b"for the first")
        assert first.recv(99) == b"for the first"
        first.close()
        user.wait_for("closed", "opened", b"early")
        device.write(b"for the second")
        assert second.recv(99) == b"for the second"
    user.wait_for("closed")
    assert device.filename == "disconnected:unix:s,server=on"


def test_a_client_that_left_while_it_waited_is_heard_and_passed_over(user: User) -> None:
    user.make("unix:s,server=on,wait=off")
    with connect("s") as client:
        client.send(b"bye")
    user.wait_for("opened", b"bye", "closed")
    connect("s").close()
    user.wait_for("opened", "closed")


def test_a_paused_device_leaves_the_input_with_the_sender(user: User) -> None:
    device = user.make("unix:s,server=on,wait=off")
    with connect("s") as client:
        client.send(b"a")
        user.wait_for("opened", b"a")
        device.pause()
        client.send(b"b")
        user.settle()
        assert user.events == []
        device.resume()
        user.wait_for(b"b")


def test_output_for_a_client_that_ended_its_side_is_sent_to_the_last_byte(user: User) -> None:
    device = user.make("unix:s,server=on,wait=off")
    with connect("s") as client:
        user.wait_for("opened")
        device.write(b"x" * 1000000)
        client.shutdown(socket.SHUT_WR)
        user.wait_for("closed")
        device.write(b"too late")
        got = bytearray()
        while chunk := client.recv(65536):
            got += chunk
            user.settle()
        assert got == b"x" * 1000000
    with connect("s") as client:
        user.wait_for("opened")


def test_a_client_that_left_takes_the_output_with_it(user: User) -> None:
    device = user.make("unix:s,server=on,wait=off")
    with connect("s"):
        user.wait_for("opened")
        device.write(b"x" * 1000000)
    user.wait_for("closed")
    with connect("s") as client:
        user.wait_for("opened")
        device.write(b"new")
        assert client.recv(99) == b"new"


def test_a_closed_server_takes_its_socket_file_away(user: User, tmp_path: Path) -> None:
    device = user.make("unix:s,server=on,wait=off")
    with connect("s") as client:
        user.wait_for("opened")
        device.close()
        assert client.recv(1) == b""
    assert not (tmp_path / "s").exists()
    device.close()


def test_a_server_that_is_told_to_wait_says_so_and_waits(user: User) -> None:
    def call() -> None:
        while not user.reported:
            time.sleep(0.001)
        with connect("s") as client:
            client.send(b"here")

    caller = threading.Thread(target=call)
    caller.start()
    user.make("unix:s,server=on")
    assert user.reported == ["info: QEMU waiting for connection on: disconnected:unix:s,server=on"]
    user.wait_for("opened", b"here", "closed")
    caller.join()


def test_a_device_can_be_the_one_who_calls(user: User) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        device = user.make("unix:s")
        assert device.filename == "unix:"
        peer, _ = server.accept()
        with peer:
            peer.send(b"x")
            user.wait_for("opened", b"x")
    user.wait_for("closed")
    assert device.filename == "disconnected:unix:s"


def test_a_lost_connection_is_made_again_when_that_is_asked_for(user: User) -> None:
    device = user.make("unix:s,reconnect=1")
    user.settle()
    assert user.reported == [
        "Unable to connect character device c0: Failed to connect to 's': No such file or directory"
    ]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        user.wait_for("opened")
    assert isinstance(device, SocketDevice)


def test_a_connection_that_is_refused_again_and_again_is_told_of_once(user: User) -> None:
    device = user.make("unix:s,reconnect=1")
    assert isinstance(device, SocketDevice)
    device._reconnect_ns = 1_000_000
    start = time.monotonic()
    user.wait(lambda: time.monotonic() > start + 0.05)
    assert len(user.reported) == 1
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
            server.listen()
            user.wait_for("opened")
            os.unlink("s")
            client, _ = server.accept()
            client.close()
            user.wait_for("closed")
        start = time.monotonic()
        user.wait(lambda start=start: time.monotonic() > start + 0.05)
    assert len(user.reported) == 3


def test_a_socket_can_be_given_by_its_number(user: User) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        device = user.make(f"socket,id=a,fd={theirs.detach()}")
        assert device.filename == "unix:"
        ours.send(b"x")
        user.wait_for("opened", b"x")
        device.write(b"answer")
        assert ours.recv(99) == b"answer"
    user.wait_for("closed")


def test_a_listening_socket_can_be_given_by_its_number(user: User) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        number = listener.detach()
    device = user.make(f"socket,id=a,fd={number},server=on,wait=off")
    assert device.filename == f"disconnected:fd:{number},server=on"
    for _ in range(2):
        with connect("s") as client:
            client.send(b"x")
            user.wait_for("opened", b"x")
            assert device.filename == "unix:s,server=on"
        user.wait_for("closed")


def test_datagrams_go_to_one_place_and_nobody_is_seen_to_come(user: User) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(PATIENCE_S)
        peer.bind(("127.0.0.1", 0))
        device = user.make(f"udp:127.0.0.1:{peer.getsockname()[1]}@127.0.0.1:0")
        device.write(b"one\ntwo")
        assert (peer.recv(99), peer.recv(99)) == (b"one\n", b"two")
        device.write(b"x" * 3000)
        data, place = peer.recvfrom(9999)
        assert data + peer.recv(9999) + peer.recv(9999) == b"x" * 3000
        peer.sendto(b"hello", place)
        user.wait_for(b"hello")
        device.pause()
        peer.sendto(b"later", place)
        user.settle()
        assert user.events == []
        device.resume()
        user.wait_for(b"later")
    device.write(b"nobody is there")
    device.write(b"nobody is there")
    user.settle()
    assert device.filename == "udp"


def test_a_port_shows_both_ends(user: User) -> None:
    device = user.make("tcp:127.0.0.1:0,server=on,wait=off")
    place = device.filename.removeprefix("disconnected:tcp:").removesuffix(",server=on")
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        user.wait_for("opened")
        own = "{}:{}".format(*client.getsockname())
        assert device.filename == f"tcp:{place},server=on <-> {own}"
    user.wait_for("closed")
    assert device.filename == f"disconnected:tcp:{place},server=on"


def test_names_of_sockets_are_shown_as_the_real_monitor_shows_them(user: User, qemu: str) -> None:
    words = {
        "a": "socket,id=a,path=x,server=on,wait=off",
        "b": "socket,id=b,path=y,,z,server=on,wait=off,telnet=on",
        "c": "socket,id=c,path=v,abstract=on,server=on,wait=off",
        "d": "socket,id=d,path=w,abstract=on,tight=off,server=on,wait=off",
    }
    args = [word for text in words.values() for word in ("-chardev", text)]
    real = subprocess.run(
        [qemu, *"-M none -nodefaults -display none -monitor stdio".split(), *args],
        input=b"info chardev\nquit\n",
        capture_output=True,
    ).stdout.decode()
    for label, word in words.items():
        assert f"\r\n{label}: filename={user.make(word).filename}\r\n" in real


def test_telnet_begins_with_its_options_and_takes_those_of_the_client_out(user: User) -> None:
    device = user.make("telnet:127.0.0.1:0,server=on,wait=off")
    port = int(device.filename.removesuffix(",server=on").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        user.wait_for("opened")
        assert client.recv(12) == b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"
        client.send(b"\xff\xfd\x01")
        user.settle()
        client.send(b"a\xff")
        client.send(b"\xff\xff\xf3b")
        user.wait_for(b"a\xffb")


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (b"a\xff\xfd\x01b", b"ab"),
        (b"\xff\xff", b"\xff"),
        (b"\xff\xf3x", b"x"),
        (b"\xff\xf1xy", b"y"),
        (b"\xff\xfa\x1f\x00P\x00\x18\xff\xf0xy", b"\x00P\x00\x18y"),
    ],
)
def test_telnet_is_decoded_the_same_however_it_is_cut(sent: bytes, wanted: bytes) -> None:
    assert TelnetInput().decode(sent) == wanted
    decoder = TelnetInput()
    assert b"".join(decoder.decode(bytes([byte])) for byte in sent) == wanted


# -- any device


def test_a_device_without_a_user_waits_for_one(user: User) -> None:
    device = user.make("unix:s,server=on,wait=off")
    device.detach()
    with connect("s") as client:
        client.send(b"x")
        user.settle()
        assert user.events == []
        assert device.is_open
        device.attach(lambda: user.events.append("opened"), user.events.append, lambda: None)
        user.wait_for("opened", b"x")
