"""The server's side of NBD for one client: bytes in, bytes out, and no socket.

Handshake and requests are one conversation, written as a generator that says how many bytes it
waits for; a message at a time is taken, so that whoever holds the socket decides when to go on.
"""

from __future__ import annotations

import errno
import struct

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError
from blockdev.nbd_contexts import matching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from blockdev.file import Buffer
    from blockdev.nbd_contexts import MetaContext
    from blockdev.nbd_export import NbdExport

_OPTION = struct.Struct(">QII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_SIMPLE_REPLY = struct.Struct(">IIQ")
_CHUNK = struct.Struct(">IHHQI")
_PREFERRED_BLOCK = 4096
_MAX_OPTIONS = 1 << 10  # of one client, before it chooses an export


class _HangUp(Exception):
    """The conversation is over."""


class _BadOption(Exception):
    """An option is answered with an error, and the handshake goes on."""

    def __init__(self, kind: int, text: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class NbdSession:
    """A conversation with one client.

    Args:
        exports: gives all that there are, at any time.

    Attributes:
        output: what is to be sent; whoever sends it empties the list.
        export: the one that the client has chosen.
        is_over: nothing more will be said; the connection can be closed.
        wait_ns: how long the next step has to wait, since somebody limits the disk; 0 mostly.
    """

    def __init__(self, exports: Callable[[], Sequence[NbdExport]]) -> None:
        self._exports = exports
        self._input = bytearray()
        self.output: list[Buffer] = []
        self.export: NbdExport | None = None
        self.is_over = False
        self.wait_ns = 0
        self._is_structured = False
        self._contexts_of: NbdExport | None = None  # whose contexts the client asked for
        self._chosen: list[MetaContext] = []
        self._talk = self._conversation()
        self._wanted = next(self._talk)

    def feed(self, data: bytes) -> None:
        """Take what the client has sent."""
        self._input += data

    def step(self) -> bool:
        """Go on by one message; False if not all of it is here yet, or the talk is over."""
        if self.is_over or len(self._input) < self._wanted:
            return False
        data = bytes(memoryview(self._input)[: self._wanted])
        del self._input[: self._wanted]
        try:
            self._wanted = self._talk.send(data)
        except (_HangUp, StopIteration):
            self.is_over = True
        return True

    # --- the handshake

    def _conversation(self) -> Generator[int, bytes, None]:
        flags = nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES
        self.output.append(struct.pack(">QQH", nbd.INITIAL_MAGIC, nbd.OPTION_MAGIC, flags))
        client_flags = int.from_bytes((yield 4), "big")
        if client_flags & ~flags:
            raise _HangUp
        for _ in range(_MAX_OPTIONS):
            magic, option, size = _OPTION.unpack((yield _OPTION.size))
            if magic != nbd.OPTION_MAGIC or size > nbd.MAX_OPTION:
                raise _HangUp
            data = (yield size) if size else b""
            if option == nbd.OPT_EXPORT_NAME or not client_flags & nbd.FIXED_NEWSTYLE:
                self._choose_at_once(option, data, client_flags)
            else:
                self._answer_option(option, data)
            if self.export is not None:
                yield from self._requests(self.export)

    def _choose_at_once(self, option: int, data: bytes, client_flags: int) -> None:
        """The oldest option: there is no answer but the export itself."""
        export = self._find(data)
        if option != nbd.OPT_EXPORT_NAME or export is None:
            raise _HangUp
        flags = export.flags | (nbd.SEND_DF if self._is_structured else 0)
        zeroes = b"" if client_flags & nbd.NO_ZEROES else bytes(nbd.ZEROES)
        self.output.append(struct.pack(">QH", export.size, flags) + zeroes)
        self.export = export

    def _answer_option(self, option: int, data: bytes) -> None:
        try:
            if option == nbd.OPT_ABORT:
                self._reply(option, nbd.REP_ACK)
                raise _HangUp
            if option == nbd.OPT_LIST:
                self._list(data)
            elif option in (nbd.OPT_INFO, nbd.OPT_GO):
                self._show(option, data)
            elif option == nbd.OPT_STRUCTURED_REPLY:
                self._begin_structure(data)
            elif option in (nbd.OPT_LIST_META_CONTEXT, nbd.OPT_SET_META_CONTEXT):
                self._choose_contexts(option, data)
            elif option == nbd.OPT_STARTTLS:
                raise _BadOption(nbd.REP_ERR_POLICY, "TLS not configured")
            else:
                text = f"Unsupported option {nbd.option_text(option)}"
                raise _BadOption(nbd.REP_ERR_UNSUP, text)
        except _BadOption as bad:
            self._reply(option, bad.kind, bad.text.encode("utf-8", "surrogateescape"))

    def _list(self, data: bytes) -> None:
        if data:
            raise _BadOption(nbd.REP_ERR_INVALID, "option 'list' has no data")
        for export in self._exports():
            name = _encoded(export.name)
            size = struct.pack(">I", len(name))
            description = _encoded(export.description)
            self._reply(nbd.OPT_LIST, nbd.REP_SERVER, size + name + description)
        self._reply(nbd.OPT_LIST, nbd.REP_ACK)

    def _show(self, option: int, data: bytes) -> None:
        """Tell of an export; for OPT_GO the requests begin then."""
        reading = _Reading(data)
        name = reading.string()
        wanted = [reading.number(2) for _ in range(reading.number(2))]
        reading.end()
        export = self._find(name)
        if export is None:
            shown = name.decode("utf-8", "surrogateescape")
            raise _BadOption(nbd.REP_ERR_UNKNOWN, f"export '{shown}' not present")

        def tell(topic: int, content: bytes) -> None:
            self._reply(option, nbd.REP_INFO, struct.pack(">H", topic) + content)

        if nbd.INFO_NAME in wanted:
            tell(nbd.INFO_NAME, name)
        if nbd.INFO_DESCRIPTION in wanted and export.description:
            tell(nbd.INFO_DESCRIPTION, _encoded(export.description))
        tell(nbd.INFO_BLOCK_SIZE, struct.pack(">III", 1, _PREFERRED_BLOCK, nbd.MAX_PAYLOAD))
        flags = export.flags | (nbd.SEND_DF if self._is_structured else 0)
        tell(nbd.INFO_EXPORT, struct.pack(">QH", export.size, flags))
        self._reply(option, nbd.REP_ACK)
        if option == nbd.OPT_GO:
            self.export = export

    def _begin_structure(self, data: bytes) -> None:
        if data:
            raise _BadOption(nbd.REP_ERR_INVALID, "option 'structured reply' has no data")
        if self._is_structured:
            raise _BadOption(nbd.REP_ERR_INVALID, "structured reply already negotiated")
        self._reply(nbd.OPT_STRUCTURED_REPLY, nbd.REP_ACK)
        self._is_structured = True

    def _choose_contexts(self, option: int, data: bytes) -> None:
        if not self._is_structured:
            name = nbd.OPTION_NAMES[option]
            text = f"request option '{name}' when structured reply is not negotiated"
            raise _BadOption(nbd.REP_ERR_INVALID, text)
        reading = _Reading(data)
        name_of_export = reading.string()
        export = self._find(name_of_export)
        if export is None:
            shown = name_of_export.decode("utf-8", "surrogateescape")
            raise _BadOption(nbd.REP_ERR_UNKNOWN, f"export '{shown}' not present")
        queries = [reading.string() for _ in range(reading.number(4))]
        reading.end()
        is_list = option == nbd.OPT_LIST_META_CONTEXT
        found = list(matching(export.contexts, queries, is_list=is_list))
        if not is_list:
            self._contexts_of, self._chosen = export, found
        for context in found:
            content = struct.pack(">I", context.number) + context.name
            self._reply(option, nbd.REP_META_CONTEXT, content)
        self._reply(option, nbd.REP_ACK)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        header = _OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, option, kind, len(data))
        self.output.append(header + data)

    def _find(self, name: bytes) -> NbdExport | None:
        return next((each for each in self._exports() if _encoded(each.name) == name), None)

    # --- requests

    def _requests(self, export: NbdExport) -> Generator[int, bytes, None]:
        while True:
            fields = _REQUEST.unpack((yield _REQUEST.size))
            magic, flags, command, handle, offset, size = fields
            if magic != nbd.REQUEST_MAGIC or command == nbd.CMD_DISC:
                raise _HangUp
            data = b""
            if command == nbd.CMD_WRITE:
                if size > nbd.MAX_PAYLOAD:
                    self._refuse(handle, QemuError("len is larger than max len", errno.EINVAL))
                    raise _HangUp  # nobody will read past what it sends now
                data = (yield size) if size else b""
            try:
                self._check(export, flags, command, offset, size)
                yield from self._waiting(export, command)
                if command == nbd.CMD_READ:
                    self._read(export, handle, offset, size)
                elif command == nbd.CMD_BLOCK_STATUS:
                    self._tell_status(export, flags, handle, offset, size)
                else:
                    self._change(export, flags, command, offset, size, data)
                    self._done(handle)
            except QemuError as error:
                self._refuse(handle, error)

    def _waiting(self, export: NbdExport, command: int) -> Generator[int, bytes, None]:
        """Until the disk's limits let a request through."""
        if command in (nbd.CMD_FLUSH, nbd.CMD_BLOCK_STATUS):
            return
        is_write = command not in (nbd.CMD_READ, nbd.CMD_CACHE)
        while wait_ns := export.root.wait_ns(is_write=is_write):
            self.wait_ns = wait_ns
            yield 0
        self.wait_ns = 0

    def _check(self, export: NbdExport, flags: int, command: int, offset: int, size: int) -> None:
        """See that a request can be.

        Raises:
            QemuError: it can't.
        """
        known = {
            nbd.CMD_READ: nbd.DF if self._is_structured else 0,
            nbd.CMD_WRITE: nbd.FUA,
            nbd.CMD_FLUSH: 0,
            nbd.CMD_TRIM: nbd.FUA,
            nbd.CMD_CACHE: 0,
            nbd.CMD_WRITE_ZEROES: nbd.FUA | nbd.NO_HOLE | nbd.FAST_ZERO,
            nbd.CMD_BLOCK_STATUS: nbd.REQ_ONE,
        }
        if command not in known:
            raise QemuError(f"invalid request type ({command}) received", errno.EINVAL)
        if flags & ~known[command] & ~nbd.FUA:
            raise QemuError("unsupported flags for command", errno.EINVAL)
        if command in (nbd.CMD_READ, nbd.CMD_CACHE) and size > nbd.MAX_PAYLOAD:
            raise QemuError("len is larger than max len", errno.EINVAL)
        is_write = command in (nbd.CMD_WRITE, nbd.CMD_TRIM, nbd.CMD_WRITE_ZEROES)
        if is_write and not export.is_writable:
            raise QemuError("Export is read-only", errno.EROFS)
        if command != nbd.CMD_FLUSH and offset + size > export.size:
            grows = command in (nbd.CMD_WRITE, nbd.CMD_WRITE_ZEROES)
            raise QemuError("operation past EOF", errno.ENOSPC if grows else errno.EINVAL)

    def _change(
        self, export: NbdExport, flags: int, command: int, offset: int, size: int, data: bytes
    ) -> None:
        node = export.node
        if command == nbd.CMD_CACHE:
            export.root.read(offset, size)  # which the host's cache keeps
        elif command == nbd.CMD_WRITE:
            export.root.write(offset, [data])
        elif command == nbd.CMD_TRIM:
            export.root.account(size, is_write=True)
            node.discard(offset, size)
        elif command == nbd.CMD_WRITE_ZEROES:
            if flags & nbd.FAST_ZERO and flags & nbd.NO_HOLE and node.cluster_size == 0:
                raise QemuError("zeros are written like data", errno.ENOTSUP)
            export.root.account(size, is_write=True)
            node.write_zeroes(offset, size, may_unmap=not flags & nbd.NO_HOLE)
        if command == nbd.CMD_FLUSH or flags & nbd.FUA:
            node.flush()

    def _read(self, export: NbdExport, handle: int, offset: int, size: int) -> None:
        data = export.root.read(offset, size) if size else b""
        if not self._is_structured:
            self._done(handle)
            self.output.append(data)
        elif not size:
            self._done(handle)
        else:
            place = struct.pack(">Q", offset)
            self._send_chunk(handle, nbd.CHUNK_OFFSET_DATA, [place, data])

    def _tell_status(
        self, export: NbdExport, flags: int, handle: int, offset: int, size: int
    ) -> None:
        if self._contexts_of is not export or not self._chosen:
            raise QemuError("CMD_BLOCK_STATUS not negotiated", errno.EINVAL)
        if not size:
            raise QemuError("need non-zero length", errno.EINVAL)
        one = bool(flags & nbd.REQ_ONE)
        told = []
        for context in self._chosen:
            extents = context.extents(export.node, offset, size, one=one)
            parts = [struct.pack(">II", *extent) for extent in extents]
            told.append([struct.pack(">I", context.number), *parts])
        for content in told:
            is_last = content is told[-1]
            self._send_chunk(handle, nbd.CHUNK_BLOCK_STATUS, content, is_last=is_last)

    def _done(self, handle: int) -> None:
        if self._is_structured:
            self._send_chunk(handle, nbd.CHUNK_NONE, [])
        else:
            self.output.append(_SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, 0, handle))

    def _refuse(self, handle: int, error: QemuError) -> None:
        number = nbd.error_on_wire(error.errno_value or errno.EIO)
        if not self._is_structured:
            self.output.append(_SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, number, handle))
            return
        text = _encoded(str(error))[: nbd.MAX_STRING]
        content = struct.pack(">IH", number, len(text)) + text
        self._send_chunk(handle, nbd.CHUNK_ERROR, [content])

    def _send_chunk(
        self, handle: int, kind: int, content: list[bytes], *, is_last: bool = True
    ) -> None:
        """A chunk of a reply, mostly the one and last."""
        size = sum(map(len, content))
        flags = nbd.CHUNK_DONE if is_last else 0
        header = _CHUNK.pack(nbd.STRUCTURED_REPLY_MAGIC, flags, kind, handle, size)
        self.output += [header, *content]


class _Reading:
    """Takes an option's data apart, which may be anything."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise _BadOption(nbd.REP_ERR_INVALID, "Inconsistent lengths in option")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        size = self.number(4)
        if size > nbd.MAX_STRING:
            raise _BadOption(nbd.REP_ERR_INVALID, "name is too long")
        return self.take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise _BadOption(nbd.REP_ERR_INVALID, "Inconsistent lengths in option")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
