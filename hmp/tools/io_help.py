"""What `help COMMAND` of qemu-io says beyond the command's syntax; read only for that."""

from __future__ import annotations

_ASYNCHRONOUS = """\
 Note that due to its asynchronous nature, this command will be
 considered successful once the request is submitted, independently
 of potential I/O errors or pattern mismatches.
"""
_TERSE = " -C, -- report statistics in a machine parsable format\n"
_QUIET = " -q, -- quiet mode, do not show I/O statistics\n"
_DUMP = " -v, -- dump buffer to standard output\n"
_VERIFY = " -P, -- use a pattern to verify read data\n"
_FILL = " -P, -- use different pattern to fill file\n"
_FORCE = " -f, -- use Force Unit Access semantics\n"
_INVALID = " -i, -- treat request as invalid, for exercising stats\n"
_IGNORED = " -p, -- ignored for backwards compatibility\n"
_UNMAP = " -u, -- with -z, allow unmapping\n"
_READS = """\
 Reads a segment of the currently open file, optionally dumping it to the
 standard output stream (with -v option) for subsequent inspection.
"""
_WRITES = """\
 Writes into a segment of the currently open file, using a buffer
 filled with a set pattern (0xcdcdcdcd).
"""

LONG_HELP = {
    "open": """
 opens a new file in the requested mode

 Example:
 'open -n -o driver=raw /tmp/data' - opens raw data file read-write, uncached

 Opens a file for subsequent use by all of the other qemu-io commands.
 -r, -- open file read-only
 -s, -- use snapshot file
 -C, -- use copy-on-read
 -n, -- disable host cache, short for -t none
 -U, -- force shared permissions
 -k, -- use kernel AIO implementation (Linux only, prefer use of -i)
 -i, -- use AIO mode (threads, native or io_uring)
 -t, -- use the given cache mode for the image
 -d, -- use the given discard mode for the image
 -o, -- options to be given to the block driver
""",
    "aio_read": f"""
 asynchronously reads a range of bytes from the given offset

 Example:
 'aio_read -v 512 1k 1k ' - dumps 2 kilobytes read from 512 bytes into the file

{_READS} The read is performed asynchronously and the aio_flush command must be
 used to ensure all outstanding aio requests have been completed.
{_ASYNCHRONOUS}{_TERSE}{_VERIFY}{_INVALID}{_DUMP}{_QUIET}
""",
    "aio_write": f"""
 asynchronously writes a range of bytes from the given offset source
 from multiple buffers

 Example:
 'aio_write 512 1k 1k' - writes 2 kilobytes at 512 bytes into the open file

{_WRITES} The write is performed asynchronously and the aio_flush command must be
 used to ensure all outstanding aio requests have been completed.
{_ASYNCHRONOUS}{_FILL}{_TERSE}{_FORCE}{_INVALID}{_QUIET}{_UNMAP}\
 -z, -- write zeroes using blk_aio_pwrite_zeroes

""",
    "discard": f"""
 discards a range of bytes from the given offset

 Example:
 'discard 512 1k' - discards 1 kilobyte from 512 bytes into the file

 Discards a segment of the currently open file.
{_TERSE}{_QUIET}
""",
    "read": f"""
 reads a range of bytes from the given offset

 Example:
 'read -v 512 1k' - dumps 1 kilobyte read from 512 bytes into the file

{_READS} -b, -- read from the VM state rather than the virtual disk
{_TERSE} -l, -- length for pattern verification (only with -P)
{_IGNORED}{_VERIFY}{_QUIET} -s, -- start offset for pattern verification (only with -P)
{_DUMP}
""",
    "readv": f"""
 reads a range of bytes from the given offset into multiple buffers

 Example:
 'readv -v 512 1k 1k ' - dumps 2 kilobytes read from 512 bytes into the file

{_READS} Uses multiple iovec buffers if more than one byte range is specified.
{_TERSE}{_VERIFY}{_DUMP}{_QUIET}
""",
    "reopen": """
 Changes the open options of an already opened image

 Example:
 'reopen -o lazy-refcounts=on' - activates lazy refcount writeback on a qcow2 image

 -r, -- Reopen the image read-only
 -w, -- Reopen the image read-write
 -c, -- Change the cache mode to the given value
 -o, -- Changes block driver options (cf. 'open' command)

""",
    "sigraise": """
 raises the given signal

 Example:
 'sigraise 15' - raises SIGTERM

 Invokes raise(signal), where "signal" is the mandatory integer argument
 given to sigraise.

""",
    "write": f"""
 writes a range of bytes from the given offset

 Example:
 'write 512 1k' - writes 1 kilobyte at 512 bytes into the open file

{_WRITES} -b, -- write to the VM state rather than the virtual disk
 -c, -- write compressed data with blk_write_compressed
{_FORCE} -n, -- with -z, don't allow slow fallback
{_IGNORED}{_FILL} -s, -- use a pattern file to fill the write buffer
{_TERSE}{_QUIET}{_UNMAP} -z, -- write zeroes using blk_co_pwrite_zeroes

""",
    "writev": f"""
 writes a range of bytes from the given offset source from multiple buffers

 Example:
 'writev 512 1k 1k' - writes 2 kilobytes at 512 bytes into the open file

{_WRITES}{_FILL}{_TERSE}{_FORCE}{_QUIET}
""",
}
