"""Addresses, and real sockets made from them."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from blockdev.address import (
    InetAddress,
    UnixAddress,
    parse_address,
    parse_inet,
)
from blockdev.errors import QemuError
from blockdev.sockets import connect, listen


def refusal(text: str) -> str:
    with pytest.raises(QemuError) as caught:
        parse_address(text)
    return str(caught.value)


def test_an_address_is_a_host_and_a_port() -> None:
    address = parse_inet("localhost:80")
    assert (address.host, address.port, str(address)) == ("localhost", "80", "localhost:80")
    assert (address.to, address.ipv4, address.ipv6) == (None, None, None)


def test_an_ipv6_address_stands_in_brackets() -> None:
    address = parse_inet("[::1]:http,ipv6,ipv4=off,to=99,keep-alive=on")
    assert (address.host, address.port) == ("::1", "http")
    assert (address.to, address.ipv4, address.ipv6) == (99, False, True)


def test_an_empty_host_is_every_address_of_this_computer() -> None:
    assert parse_inet(":10").host == ""


def test_a_unix_address_is_everything_behind_the_colon() -> None:
    address = parse_address("unix:a,b=c")
    assert isinstance(address, UnixAddress)
    assert str(address) == "a,b=c"


# The sentences of `nbd_server_start`, which takes such an address.
REFUSED = {
    "foo": "error parsing address 'foo'",
    "127.0.0.1:": "error parsing address '127.0.0.1:'",
    "unix:": "invalid Unix socket address",
    "[::1:10888": "error parsing IPv6 address '[::1:10888'",
    "a:1,ipv4=maybe": "error parsing 'ipv4' flag '=maybe'",
    "a:1,to=x": "error parsing to= argument",
    "a" * 65 + ":1": f"error parsing address '{'a' * 65}:1'",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items())
def test_what_is_no_address_is_refused_in_words(text: str, words: str) -> None:
    assert refusal(text) == words


@pytest.mark.parametrize(("text", "words"), REFUSED.items())
def test_the_words_are_the_real_ones(text: str, words: str, qemu: str) -> None:
    result = subprocess.run(
        [qemu, *"-M none -nodefaults -display none -monitor stdio".split()],
        input=f"nbd_server_start {text}\nquit\n".encode(),
        capture_output=True,
    )
    assert f"\r\nError: {words}\r\n".encode() in result.stdout


def test_two_ends_of_a_socket_file_are_connected(tmp_path: Path) -> None:
    address = UnixAddress(path=f"{tmp_path}/socket")
    with listen(address) as listener, connect(address) as client:
        assert not listener.getblocking()
        assert not client.getblocking()
        server, _ = listener.accept()
        with server:
            client.send(b"x")
            assert server.recv(9) == b"x"
    assert os.path.exists(address.path)
    address.unlink()
    address.unlink()
    assert not os.path.exists(address.path)


def test_a_socket_file_that_is_left_over_is_replaced(tmp_path: Path) -> None:
    address = UnixAddress(path=f"{tmp_path}/socket")
    listen(address).close()
    listen(address).close()


@pytest.mark.parametrize("tight", [True, False])
def test_an_abstract_name_is_no_file(tight: bool, tmp_path: Path) -> None:
    address = UnixAddress(path=f"{tmp_path}/socket", abstract=True, tight=tight)
    with listen(address) as listener, connect(address):
        assert len(listener.getsockname()) == (len(address.path) + 1 if tight else 108)
        assert not os.path.exists(address.path)
        address.unlink()


def test_a_port_of_this_computer_is_reached_by_name() -> None:
    with listen(InetAddress(host="127.0.0.1", port="0")) as listener:
        port = str(listener.getsockname()[1])
        connect(InetAddress(host="localhost", port=port)).close()


def test_a_taken_port_is_passed_over_when_others_may_be_had() -> None:
    with listen(InetAddress(host="127.0.0.1", port="0")) as first:
        port = first.getsockname()[1]
        with pytest.raises(QemuError, match="Failed to find an available port: Address already"):
            listen(InetAddress(host="127.0.0.1", port=str(port)))
        with listen(InetAddress(host="127.0.0.1", port=str(port), to=port + 20)) as second:
            assert port < second.getsockname()[1] <= port + 20


def failure(address: UnixAddress | InetAddress, *, to_listen: bool) -> str:
    with pytest.raises(QemuError) as caught:
        (listen if to_listen else connect)(address)
    return str(caught.value)


def test_each_failure_has_the_real_words(tmp_path: Path) -> None:
    missing = UnixAddress(path=f"{tmp_path}/missing/socket")
    assert failure(missing, to_listen=False) == (
        f"Failed to connect to '{missing}': No such file or directory"
    )
    assert failure(missing, to_listen=True) == (
        f"Failed to bind socket to {missing}: No such file or directory"
    )
    folder = UnixAddress(path=str(tmp_path))
    assert failure(folder, to_listen=True) == f"Failed to unlink socket {folder}: Is a directory"
    long = UnixAddress(path="a" * 109)
    for to_listen in (False, True):
        assert failure(long, to_listen=to_listen) == (
            f"UNIX socket path '{long}' is too long\nPath must be less than 108 bytes"
        )
    foreign = InetAddress(host="1.2.3.4", port="33")
    assert failure(foreign, to_listen=True) == (
        "Failed to bind socket: Cannot assign requested address"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    closed = InetAddress(host="127.0.0.1", port=port)
    assert failure(closed, to_listen=False) == (
        f"Failed to connect to '{closed}': Connection refused"
    )
    nameless = InetAddress(host="a.b..c", port="1")
    assert failure(nameless, to_listen=False) == (
        "address resolution failed for a.b..c:1: Name or service not known"
    )
    service = InetAddress(host="127.0.0.1", port="abc")
    assert failure(service, to_listen=True) == (
        "address resolution failed for 127.0.0.1:abc: Servname not supported for ai_socktype"
    )
    neither = InetAddress(host="localhost", port="1", ipv4=False, ipv6=False)
    assert failure(neither, to_listen=True) == "Cannot disable IPv4 and IPv6 at same time"


def test_a_socket_is_not_handed_on_to_other_programs(tmp_path: Path) -> None:
    with listen(UnixAddress(path=f"{tmp_path}/socket")) as listener:
        assert not os.get_inheritable(listener.fileno())
