"""Where a migration goes to or comes from, as it is typed: ``exec:``, ``fd:``, ``tcp:``, ``unix:``.

What is wrong with the words is said at once; a channel that takes time to come about is a
generator, which waits for it and returns it.
"""

from __future__ import annotations

import errno
import os
import select
import time

from blockdev.address import InetAddress, UnixAddress, parse_address
from blockdev.errors import QemuError
from blockdev.sockets import Connecting, listen_everywhere
from machine.loop import Wakeup
from machine.migration.channel import Channel, run_command, use_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from blockdev.sockets import Socket
    from machine.loop import MainLoop

    TakeDescriptor = Callable[[str], int]  # a descriptor by name, which it hasn't any more then
    Opening = Generator[Wakeup, None, Channel]

ONE_CHANNEL = ("exec:", "fd:")  # there at once, and there can't be a second one
PROTOCOLS = (*ONE_CHANNEL, "tcp:", "unix:")
RETRY_NS = 10_000_000  # how soon a full backlog is tried again


class UnknownProtocol(QemuError):
    """What stands before the colon is none of ours."""


def outgoing(uri: str, loop: MainLoop, take_descriptor: TakeDescriptor) -> Opening:
    """A channel out.

    Raises:
        UnknownProtocol: of the address; the words for it depend on who asks.
        QemuError: the address can't be, or later that nobody is there.
    """
    protocol, _, rest = uri.partition(":")
    if uri.startswith("exec:"):
        return _ready(run_command(rest))
    if uri.startswith("fd:"):
        return _ready(use_descriptor(take_descriptor(rest)))
    if uri.startswith(("tcp:", "unix:")):
        return _connected(_address(uri), loop)
    if uri.startswith("rdma:"):
        raise QemuError("RDMA ERROR: could not create CM channel")
    raise _not_ours(uri, protocol)


def _ready(channel: Channel) -> Opening:
    yield from ()
    return channel


def _address(uri: str) -> UnixAddress | InetAddress:
    return parse_address(uri.removeprefix("tcp:"))


def _not_ours(uri: str, protocol: str) -> QemuError:
    if uri.startswith("rdma:"):
        return QemuError("RDMA ERROR: could not create rdma event channel")
    if uri.startswith("vsock:"):
        return QemuError("vsock addresses are not simulated")
    return UnknownProtocol(f"unknown migration protocol: {uri}")


def _connected(address: UnixAddress | InetAddress, loop: MainLoop) -> Opening:
    attempt: Connecting | None = None
    try:
        attempt = Connecting(address)
        while (connection := attempt.attempt()) is None:
            fd = attempt.fileno()
            if fd >= 0:
                yield from loop.writable(fd)
            else:
                yield from loop.moment(time.monotonic_ns() + RETRY_NS)
    finally:
        if attempt is not None:
            attempt.close()
    return use_descriptor(connection.detach())


class IncomingTransport:
    """Where a migration is waited for.

    Raises:
        QemuError: it can't be waited for there.

    Attributes:
        places: the sockets that listen, as `info migrate` shows them.
    """

    def __init__(self, uri: str, loop: MainLoop, take_descriptor: TakeDescriptor) -> None:
        self._loop = loop
        self.places: list[str] = []
        protocol, _, rest = uri.partition(":")
        if uri.startswith("exec:"):
            self.opening = self._readable(run_command(rest))
        elif uri.startswith("fd:"):
            self.opening = self._descriptor(take_descriptor(rest))
        elif uri.startswith(("tcp:", "unix:")):
            self.opening = self._accepted(_address(uri))
        else:
            raise _not_ours(uri, protocol)

    def _readable(self, channel: Channel) -> Opening:
        """Once the first bytes are there; an end without any is no beginning, as in QEMU."""
        poll = select.poll()
        poll.register(channel.input_fd, select.POLLIN)
        while True:
            yield from self._loop.readable(channel.input_fd)
            for _, events in poll.poll(0):  # nothing, if another reader was quicker
                if events & select.POLLIN:
                    return channel
                yield from self._never()

    def _descriptor(self, fd: int) -> Opening:
        try:
            channel = use_descriptor(fd)
        except OSError:  # QEMU finds out only that nothing ever comes
            return self._nothing()
        return self._readable(channel)

    def _nothing(self) -> Opening:
        yield from self._never()
        raise AssertionError("never is over")

    def _never(self) -> Iterator[Wakeup]:
        while True:
            yield Wakeup()

    def _accepted(self, address: UnixAddress | InetAddress) -> Opening:
        """Listen at once; the first one who comes is the one."""
        listeners = listen_everywhere(address)
        self.places = [_shown(address, listener) for listener in reversed(listeners)]
        return self._accept(address, listeners)

    def _accept(self, address: UnixAddress | InetAddress, listeners: list[Socket]) -> Opening:
        wakeup = Wakeup()
        try:
            while True:
                for listener in listeners:
                    self._loop.add_reader(listener.fileno(), wakeup.wake)
                yield wakeup
                wakeup = Wakeup()
                for listener in listeners:
                    try:
                        client, _ = listener.accept()
                    except OSError:  # nobody there, or it left again already
                        continue
                    return use_descriptor(client.detach())
        finally:
            for listener in listeners:
                self._loop.remove_reader(listener.fileno())
                listener.close()
            if isinstance(address, UnixAddress):
                address.unlink()


def _shown(address: UnixAddress | InetAddress, listener: Socket) -> str:
    if isinstance(address, UnixAddress):
        return f"unix:{address}"
    host, port = listener.getsockname()[:2]
    return f"tcp:{host}:{port}"


def numbered_descriptor(text: str) -> int:
    """What ``fd:N`` means on the command line, where nobody could give names.

    Raises:
        QemuError: it isn't a number.
    """
    if not (text.isascii() and text.isdigit()):
        raise QemuError(f"Invalid file descriptor number '{text}'", errno.EINVAL)
    fd = int(text)
    if fd <= 2:
        # Standard input and output stay ours, as the monitor's or not at all.
        try:
            return os.dup(fd)
        except OSError:
            return fd
    return fd
