"""The numbers of the NBD protocol, for both of its sides. Source: the NBD project's ``proto.md``.

All integers are big endian.
"""

from __future__ import annotations

import errno

INITIAL_MAGIC = 0x4E42444D41474943  # "NBDMAGIC"
OPTION_MAGIC = 0x49484156454F5054  # "IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

DEFAULT_PORT = "10809"

# Of the handshake, in both directions.
FIXED_NEWSTYLE, NO_ZEROES = 0x1, 0x2
ZEROES = 124  # bytes of nothing after the answer to OPT_EXPORT_NAME

OPT_EXPORT_NAME = 1
OPT_ABORT = 2
OPT_LIST = 3
OPT_STARTTLS = 5
OPT_INFO = 6
OPT_GO = 7
OPT_STRUCTURED_REPLY = 8
OPT_LIST_META_CONTEXT = 9
OPT_SET_META_CONTEXT = 10
OPTION_NAMES = {
    OPT_EXPORT_NAME: "export name",
    OPT_ABORT: "abort",
    OPT_LIST: "list",
    4: "peek export",
    OPT_STARTTLS: "starttls",
    OPT_INFO: "info",
    OPT_GO: "go",
    OPT_STRUCTURED_REPLY: "structured reply",
    OPT_LIST_META_CONTEXT: "list meta context",
    OPT_SET_META_CONTEXT: "set meta context",
}

REP_ACK = 1
REP_SERVER = 2
REP_INFO = 3
REP_META_CONTEXT = 4
REP_ERROR = 1 << 31
REP_ERR_UNSUP = REP_ERROR + 1
REP_ERR_POLICY = REP_ERROR + 2
REP_ERR_INVALID = REP_ERROR + 3
REP_ERR_PLATFORM = REP_ERROR + 4
REP_ERR_TLS_REQD = REP_ERROR + 5
REP_ERR_UNKNOWN = REP_ERROR + 6
REP_ERR_SHUTDOWN = REP_ERROR + 7
REP_ERR_BLOCK_SIZE_REQD = REP_ERROR + 8

INFO_EXPORT = 0
INFO_NAME = 1
INFO_DESCRIPTION = 2
INFO_BLOCK_SIZE = 3

# What an export can do.
HAS_FLAGS = 0x001
READ_ONLY = 0x002
SEND_FLUSH = 0x004
SEND_FUA = 0x008
SEND_TRIM = 0x020
SEND_WRITE_ZEROES = 0x040
SEND_DF = 0x080
CAN_MULTI_CONN = 0x100
SEND_CACHE = 0x400
SEND_FAST_ZERO = 0x800

CMD_READ = 0
CMD_WRITE = 1
CMD_DISC = 2
CMD_FLUSH = 3
CMD_TRIM = 4
CMD_CACHE = 5
CMD_WRITE_ZEROES = 6
CMD_BLOCK_STATUS = 7
# Flags of commands.
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 0x1, 0x2, 0x4, 0x8, 0x10

CHUNK_DONE = 0x1
CHUNK_NONE = 0
CHUNK_OFFSET_DATA = 1
CHUNK_OFFSET_HOLE = 2
CHUNK_BLOCK_STATUS = 5
CHUNK_ERROR_BIT = 1 << 15
CHUNK_ERROR = CHUNK_ERROR_BIT + 1
CHUNK_ERROR_OFFSET = CHUNK_ERROR_BIT + 2

ALLOCATION = b"base:allocation"
ALLOCATION_DEPTH = b"qemu:allocation-depth"
STATE_HOLE, STATE_ZERO = 0x1, 0x2

# Limits of what one side takes from the other, as QEMU has them.
MAX_PAYLOAD = 32 << 20  # bytes of one read or write, and of a reply to an option
MAX_STRING = 4096  # bytes of a name or a message
MAX_OPTION = 1 << 16  # bytes that a server reads of an option: a name, and some queries

# Errors on the wire, which are Linux's numbers whatever the system is.
_ERRORS = (
    errno.EPERM,
    errno.EIO,
    errno.ENOMEM,
    errno.EINVAL,
    errno.ENOSPC,
    errno.EOVERFLOW,
    errno.ENOTSUP,
    errno.ESHUTDOWN,
)
_TRANSLATED = {errno.EROFS: errno.EPERM, errno.EFBIG: errno.ENOSPC, errno.EDQUOT: errno.ENOSPC}


def error_on_wire(number: int) -> int:
    """The number by which the other side is told of a failure."""
    number = _TRANSLATED.get(number, number)
    return number if number in _ERRORS else errno.EINVAL


def error_from_wire(number: int) -> int:
    """The errno of a failure that the other side told of."""
    return number if number in _ERRORS else errno.EINVAL


def option_text(option: int) -> str:
    """An option's number and name, as messages show it."""
    return f"{option} ({OPTION_NAMES.get(option, '<unknown>')})"
