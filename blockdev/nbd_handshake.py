"""The client's side of NBD's handshake: fixed newstyle, down to servers that know no options."""

from __future__ import annotations

import errno
import struct

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.nbd_channel import NbdChannel

_REPLY = struct.Struct(">QIII")
_MAX_REPLIES = 1000  # to one option, before there is no end to it
# What a server refuses with, in QEMU's words; "{}" is the option.
_REFUSALS = {
    nbd.REP_ERR_POLICY: "Denied by server for option {}",
    nbd.REP_ERR_INVALID: "Invalid parameters for option {}",
    nbd.REP_ERR_PLATFORM: "Server lacks support for option {}",
    nbd.REP_ERR_TLS_REQD: "Server requires TLS for option {}",
    nbd.REP_ERR_UNKNOWN: "Requested export not available",
    nbd.REP_ERR_SHUTDOWN: "Server shutting down before option {}",
    nbd.REP_ERR_BLOCK_SIZE_REQD: "Server requires INFO_BLOCK_SIZE for option {}",
}


class ExportInfo:
    """What a server says of an export.

    Attributes:
        size: bytes.
        flags: what it can do.
        is_structured: replies to reads come in chunks.
        allocation: the number of the context that tells holes from data; None if there is none.
        min_block: what requests have to be multiples of.
        max_block: bytes of a request with data.
    """

    __slots__ = ("allocation", "flags", "is_structured", "max_block", "min_block", "size")

    def __init__(self) -> None:
        self.size = 0
        self.flags = 0
        self.is_structured = False
        self.allocation: int | None = None
        self.min_block = 1
        self.max_block = nbd.MAX_PAYLOAD


def shake_hands(channel: NbdChannel, export: str) -> ExportInfo:
    """Agree with a server on an export; requests may follow.

    Raises:
        QemuError: the server is none, refuses, or contradicts itself.
    """
    info = ExportInfo()
    name = export.encode("utf-8", "surrogateescape")
    magic = _first_number(channel, "initial magic")
    if magic != nbd.INITIAL_MAGIC:
        raise QemuError(f"Bad initial magic received: 0x{magic:016x}", errno.EINVAL)
    magic = _first_number(channel, "server magic")
    if magic != nbd.OPTION_MAGIC:
        raise QemuError(f"Bad server magic received: 0x{magic:016x}", errno.EINVAL)
    server_flags = channel.number(2)
    is_fixed = server_flags & nbd.FIXED_NEWSTYLE
    channel.send([struct.pack(">I", server_flags & (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES))])
    if is_fixed:
        handshake = _Options(channel)
        info.is_structured = handshake.asks_for_structure()
        if info.is_structured:
            info.allocation = handshake.asks_for_allocation(name)
        if handshake.goes(name, info):
            _check(info)
            return info
    channel.send([struct.pack(">QII", nbd.OPTION_MAGIC, nbd.OPT_EXPORT_NAME, len(name)), name])
    info.size = channel.number(8)
    info.flags = channel.number(2)
    if not server_flags & nbd.NO_ZEROES:
        channel.receive(nbd.ZEROES)
    _check(info)
    return info


def _first_number(channel: NbdChannel, what: str) -> int:
    try:
        return channel.number(8)
    except QemuError as error:
        raise QemuError(f"Failed to read {what}: {error}", error.errno_value) from error


def _check(info: ExportInfo) -> None:
    if info.size > (1 << 63) - 1:
        raise QemuError("export length is too large", errno.EINVAL)
    if info.min_block & (info.min_block - 1) or not 0 < info.min_block <= 65536:
        text = f"server minimum block size {info.min_block} is not a power of two"
        raise QemuError(text, errno.EINVAL)
    if info.max_block < info.min_block:
        raise QemuError(f"server maximum block size {info.max_block} is not valid", errno.EINVAL)
    info.max_block = min(info.max_block, nbd.MAX_PAYLOAD) // info.min_block * info.min_block
    if info.size % info.min_block:
        text = f"export length {info.size} is not a multiple of minimum block size {info.min_block}"
        raise QemuError(text, errno.EINVAL)


class _Options:
    """The options of fixed newstyle."""

    def __init__(self, channel: NbdChannel) -> None:
        self._channel = channel

    def _send(self, option: int, data: bytes = b"") -> None:
        header = struct.pack(">QII", nbd.OPTION_MAGIC, option, len(data))
        self._channel.send([header, data])

    def _reply(self, option: int) -> tuple[int, bytes]:
        """The next reply to an option: its kind, and what is in it."""
        try:
            header = self._channel.receive(_REPLY.size)
        except QemuError as error:
            raise QemuError(f"Failed to read option reply: {error}", error.errno_value) from error
        magic, replied, kind, size = _REPLY.unpack(header)
        if magic != nbd.OPTION_REPLY_MAGIC:
            raise QemuError("Unexpected option reply magic", errno.EINVAL)
        if replied != option:
            text = f"Unexpected option type {nbd.option_text(replied)}, expected "
            raise QemuError(text + nbd.option_text(option), errno.EINVAL)
        name = nbd.OPTION_NAMES[option]
        if kind == nbd.REP_ACK and size:
            text = f"Option {option} ('{name}') response length is {size} (it should be zero)"
            raise QemuError(text, errno.EINVAL)
        if size > nbd.MAX_PAYLOAD:
            text = f"server error {kind:#x} ({name}) message is too long"
            raise QemuError(text, errno.EINVAL)
        return kind, self._channel.receive(size)

    def _refused(self, option: int, kind: int, data: bytes) -> QemuError | None:
        """Why the server refused; None if it only doesn't know the option."""
        if kind == nbd.REP_ERR_UNSUP:
            return None
        text = _REFUSALS.get(kind, "Unknown error code when asking for option {}")
        text = text.format(nbd.option_text(option))
        if kind == nbd.REP_ERR_TLS_REQD:
            text += "\nDid you forget a valid tls-creds?"
        if data:
            said = data[: nbd.MAX_STRING].decode("utf-8", "replace")
            text += f"\nserver reported: {said}"
        return QemuError(text, errno.EINVAL)

    def asks_for_structure(self) -> bool:
        """Whether reads are answered in chunks from now on."""
        self._send(nbd.OPT_STRUCTURED_REPLY)
        kind, data = self._reply(nbd.OPT_STRUCTURED_REPLY)
        if kind & nbd.REP_ERROR:
            refusal = self._refused(nbd.OPT_STRUCTURED_REPLY, kind, data)
            if refusal is not None:
                raise refusal
            return False
        if kind != nbd.REP_ACK:
            text = f"Unexpected reply type {kind} to option structured reply"
            raise QemuError(text, errno.EINVAL)
        return True

    def asks_for_allocation(self, name: bytes) -> int | None:
        """The number of the context ``base:allocation``; None if the export has none."""
        option = nbd.OPT_SET_META_CONTEXT
        query = nbd.ALLOCATION
        sizes = struct.pack(">II", 1, len(query))
        self._send(option, struct.pack(">I", len(name)) + name + sizes + query)
        number: int | None = None
        for _ in range(_MAX_REPLIES):
            kind, data = self._reply(option)
            if kind & nbd.REP_ERROR:
                return None  # OPT_GO will say what is wrong, if it is of any account
            if kind == nbd.REP_ACK:
                return number
            if kind != nbd.REP_META_CONTEXT or data[4:] != query or number is not None:
                raise QemuError("Server replied with a wrong meta context", errno.EINVAL)
            number = int.from_bytes(data[:4], "big")
        raise QemuError("Server replied with too many meta contexts", errno.EINVAL)

    def goes(self, name: bytes, info: ExportInfo) -> bool:
        """Choose the export; False: the server knows no such option."""
        option = nbd.OPT_GO
        wanted = struct.pack(">HH", 1, nbd.INFO_BLOCK_SIZE)
        self._send(option, struct.pack(">I", len(name)) + name + wanted)
        has_export = False
        for _ in range(_MAX_REPLIES):
            kind, data = self._reply(option)
            if kind & nbd.REP_ERROR:
                refusal = self._refused(option, kind, data)
                if refusal is not None:
                    raise refusal
                return False
            if kind == nbd.REP_ACK:
                if not has_export:
                    raise QemuError("broken server omitted NBD_INFO_EXPORT", errno.EINVAL)
                return True
            if kind != nbd.REP_INFO or len(data) < 2:
                raise QemuError(f"unexpected reply type {kind} to option go", errno.EINVAL)
            topic = int.from_bytes(data[:2], "big")
            if topic == nbd.INFO_EXPORT:
                if len(data) != 12:
                    raise QemuError("invalid reply to option go", errno.EINVAL)
                info.size, info.flags = struct.unpack(">QH", data[2:])
                has_export = True
            elif topic == nbd.INFO_BLOCK_SIZE:
                if len(data) != 14:
                    raise QemuError("invalid reply to option go", errno.EINVAL)
                info.min_block, _, info.max_block = struct.unpack(">III", data[2:])
        raise QemuError("Server replied with too many infos", errno.EINVAL)
