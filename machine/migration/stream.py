"""The stream: what its bytes begin with, and which dialect of it is spoken.

- magic, version: the header
- CONFIGURATION: the machine's name
- START: a live section begins, with its id, name, instance, version, and body
- PART, END: it goes on, and ends, with its id and body
- FULL: a device, whole, as in START
- footer: behind each of these its id again
- COMMAND: between sections, a word to the destination
- EOF: no more sections
- VMDESCRIPTION: the devices' fields, as JSON

`saver` writes it, `loader` reads it into a machine, `decode` takes anybody's apart.
"""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import SizedBuffer, UInt32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.vmstate.description import Record, Report

MAGIC = 0x5145564D  # "QEVM"
VERSION = 3
OBSOLETE_VERSION = 2

EOF = 0x00
SECTION_START = 0x01
SECTION_PART = 0x02
SECTION_END = 0x03
SECTION_FULL = 0x04
VMDESCRIPTION = 0x06
CONFIGURATION = 0x07
COMMAND = 0x08  # a word from the source to the destination, with its own length
SECTION_FOOTER = 0x7E

MAX_MACHINE_NAME = 1 << 20  # bytes; QEMU takes any length and stumbles over its memory


class Switches:
    """What of the stream is written and insisted on; the defaults are those of 7.2's machines.

    Attributes:
        send_configuration: ``migration.send-configuration``.
        send_section_footer: ``migration.send-section-footer``.
        store_global_state: ``migration.store-global-state``; `GlobalState` goes by it.
        suppress_vmdesc: the machine's ``suppress-vmdesc``.
    """

    __slots__ = (
        "send_configuration",
        "send_section_footer",
        "store_global_state",
        "suppress_vmdesc",
    )

    def __init__(
        self,
        *,
        send_configuration: bool = True,
        send_section_footer: bool = True,
        store_global_state: bool = True,
        suppress_vmdesc: bool = False,
    ) -> None:
        self.send_configuration = send_configuration
        self.send_section_footer = send_section_footer
        self.store_global_state = store_global_state
        self.suppress_vmdesc = suppress_vmdesc


class Configuration:
    """The machine's name as the stream has it."""

    __slots__ = ("len", "name")

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.len = len(self.name)


def _check_machine(local: Configuration, record: Record, report: Report) -> None:
    # QEMU compares over the length received: a beginning of the name will do.
    received: bytes = record.values["name"].partition(b"\0")[0]
    if received != local.name[: record.values["len"]]:
        text = received.decode("utf-8", "surrogateescape")
        report(f"Machine type received is '{text}' and local is '{local.name.decode()}'")
        raise StreamError(errno.EINVAL)


CONFIGURATION_STATE = VMStateDescription(
    name="configuration",
    minimum_version_id=0,
    fields=(UInt32("len"), SizedBuffer("name", size_field="len", limit=MAX_MACHINE_NAME)),
    check=_check_machine,
)
