"""Address spaces: translation, ports, what is mapped where, and dumps of all of it."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.arguments import Format
from hmp.command import Command
from hmp.commands.description import print_description
from machine.memory import RamBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hmp.arguments import Format
    from hmp.monitor import Monitor


PORT_COUNT = 0x10000
_PORT_LETTERS = {2: "w", 4: "l"}


def _port_size(fmt: Format) -> int:
    """The bytes of an access; QEMU takes any other size for one byte."""
    return fmt.size if fmt.size in _PORT_LETTERS else 1


def i(monitor: Monitor, *, fmt: Format, addr: int, index: int | None) -> None:
    """Read a port; with an index, write it to the port first and read the one behind."""
    ports = monitor.machine.ports
    if index is not None:
        ports.write(addr % PORT_COUNT, 1, index & 0xFF)
        addr += 1
    addr %= PORT_COUNT
    size = _port_size(fmt)
    digits = 2 * abs(fmt.size)
    value = ports.read(addr, size)
    shown = f"{value:0{digits}x}" if fmt.size > 0 else f"{value:<{digits}x}"
    monitor.print_line(f"port{_PORT_LETTERS.get(size, 'b')}[0x{addr:04x}] = 0x{shown}")


def o(monitor: Monitor, *, fmt: Format, addr: int, val: int) -> None:
    size = _port_size(fmt)
    monitor.machine.ports.write(addr % PORT_COUNT, size, val % (1 << 8 * size))


def gva2gpa(monitor: Monitor, *, addr: int) -> None:
    cpu = monitor.current_cpu
    if cpu is None:
        monitor.print_line("No cpu")
    else:
        monitor.print_line(f"gpa: {_short_hex(cpu.physical(addr))}")


def _short_hex(number: int) -> str:
    """As C's ``%#x``, which gives 0 no prefix."""
    return f"{number:#x}" if number else "0"


def gpa2hva(monitor: Monitor, *, addr: int) -> None:
    found = _find_ram(monitor, addr)
    if found is not None:
        block, offset = found
        host = block.host_address(offset)
        _print_host_address(monitor, "virtual", addr, block, host)


def gpa2hpa(monitor: Monitor, *, addr: int) -> None:
    found = _find_ram(monitor, addr)
    if found is not None:
        block, offset = found
        host = block.host_physical_address(offset)
        _print_host_address(monitor, "physical", addr, block, host)


def _find_ram(monitor: Monitor, addr: int) -> tuple[RamBlock, int] | None:
    """The block at an address, and where in it; None, and a word about it, without one."""
    address = addr % (1 << 64)
    region = monitor.machine.memory.find(address)
    if region is None:
        monitor.print_line(f"No memory is mapped at address {address:#x}")
        return None
    if not isinstance(region.block, RamBlock):
        monitor.print_line(f"Memory at address {address:#x} is not RAM")
        return None
    return region.block, region.offset + address - region.base


def _print_host_address(monitor: Monitor, kind: str, addr: int, block: RamBlock, host: int) -> None:
    address = addr % (1 << 64)
    monitor.print_line(f"Host {kind} address for {address:#x} ({block.name}) is {host:#x}")


def dump_guest_memory(
    monitor: Monitor,
    *,
    paging: bool,
    detach: bool,
    windmp: bool,
    zlib: bool,
    lzo: bool,
    snappy: bool,
    filename: str,
    begin: int | None,
    length: int | None,
) -> Iterator[object]:
    """Paging is off, so that what it maps is what there is."""
    from machine.dump import dump_guest_memory

    flags = {"kdump-zlib": zlib, "kdump-lzo": lzo, "kdump-snappy": snappy, "win-dmp": windmp}
    wanted = [name for name, is_wanted in flags.items() if is_wanted]
    if len(wanted) > 1:
        raise QemuError("only one of '-z|-l|-s|-w' can be set")
    yield from dump_guest_memory(
        monitor.machine,
        f"file:{filename}",
        monitor.take_descriptor,
        format=wanted[0] if wanted else "elf",
        paging=paging,
        detach=detach,
        begin=begin,
        length=length,
    )


def dumpdtb(monitor: Monitor, *, filename: str) -> None:
    raise QemuError("This machine doesn't have a FDT")


def info_mem(monitor: Monitor) -> None:
    _info_paging(monitor)


def info_tlb(monitor: Monitor) -> None:
    _info_paging(monitor)


def _info_paging(monitor: Monitor) -> None:
    """No guest here turns paging on."""
    monitor.print_line("No CPU available" if monitor.current_cpu is None else "PG disabled")


def info_mtree(
    monitor: Monitor, *, flatview: bool, dispatch_tree: bool, owner: bool, disabled: bool
) -> None:
    from machine.mtree import Wanted, describe

    wanted = Wanted(owners=owner, disabled=disabled, dispatch=dispatch_tree)
    for line in describe(monitor.machine, wanted, is_flat=flatview):
        monitor.print_line(line)


def info_ramblock(monitor: Monitor) -> None:
    monitor.print_line(
        f"{'Block Name':>24} {'PSize':>8}  {'Offset':>18} {'Used':>18} {'Total':>18}"
    )
    print_description(monitor, "ramblock")


def info_memdev(monitor: Monitor) -> None:
    """The list ends with an empty line, even where it has nothing else."""
    print_description(monitor, "memdev", "\n")


def info_memory_devices(monitor: Monitor) -> None:
    print_description(monitor, "memory-devices")


def info_memory_size_summary(monitor: Monitor) -> None:
    monitor.print_line(f"base memory: {monitor.machine.ram_size}")
    monitor.print_line("plugged memory: 0")


def info_numa(monitor: Monitor) -> None:
    print_description(monitor, "numa")


def info_dump(monitor: Monitor) -> None:
    dump = monitor.machine.dump
    monitor.print_line(f"Status: {dump.status}")
    if dump.status == "active":
        monitor.print_line(f"Finished: {dump.percent:.2f} %")


COMMANDS = (
    Command(
        name="gpa2hva",
        args_type="addr:l",
        params="addr",
        help="print the host virtual address corresponding to a guest physical address",
        run=gpa2hva,
    ),
    Command(
        name="gpa2hpa",
        args_type="addr:l",
        params="addr",
        help="print the host physical address corresponding to a guest physical address",
        run=gpa2hpa,
    ),
    Command(
        name="gva2gpa",
        args_type="addr:l",
        params="addr",
        help="print the guest physical address corresponding to a guest virtual address",
        run=gva2gpa,
    ),
    Command(
        name="i",
        args_type="fmt:/,addr:i,index:i.",
        params="/fmt addr",
        help="I/O port read",
        run=i,
    ),
    Command(
        name="o",
        args_type="fmt:/,addr:i,val:i",
        params="/fmt addr value",
        help="I/O port write",
        run=o,
    ),
    Command(
        name="dump-guest-memory",
        args_type=(
            "paging:-p,detach:-d,windmp:-w,zlib:-z,lzo:-l,snappy:-s,filename:F,begin:l?,length:l?"
        ),
        params="[-p] [-d] [-z|-l|-s|-w] filename [begin length]",
        help=(
            "dump guest memory into file 'filename'.\n"
            "\t\t\t-p: do paging to get guest's memory mapping.\n"
            "\t\t\t-d: return immediately (do not wait for completion).\n"
            "\t\t\t-z: dump in kdump-compressed format, with zlib compression.\n"
            "\t\t\t-l: dump in kdump-compressed format, with lzo compression.\n"
            "\t\t\t-s: dump in kdump-compressed format, with snappy compression.\n"
            "\t\t\t-w: dump in Windows crashdump format (can be used instead of "
            "ELF-dump converting),\n"
            "\t\t\t    for Windows x86 and x64 guests with vmcoreinfo driver only.\n"
            "\t\t\tbegin: the starting physical address.\n"
            "\t\t\tlength: the memory size, in bytes."
        ),
        run=dump_guest_memory,
    ),
    Command(
        name="dumpdtb",
        args_type="filename:F",
        params="filename",
        help="dump the FDT in dtb format to 'filename'",
        run=dumpdtb,
    ),
)

INFO = (
    Command(
        name="mem",
        args_type="",
        params="",
        help="show the active virtual memory mappings",
        run=info_mem,
    ),
    Command(
        name="tlb",
        args_type="",
        params="",
        help="show virtual to physical memory mappings",
        run=info_tlb,
    ),
    Command(
        name="mtree",
        args_type="flatview:-f,dispatch_tree:-d,owner:-o,disabled:-D",
        params="[-f][-d][-o][-D]",
        help=(
            "show memory tree (-f: dump flat view for address spaces;-d: dump "
            "dispatch tree, valid with -f only);-o: dump region owners/parents;-D: "
            "dump disabled regions"
        ),
        run=info_mtree,
    ),
    Command(
        name="ramblock",
        args_type="",
        params="",
        help="Display system ramblock information",
        run=info_ramblock,
    ),
    Command(
        name="memdev",
        args_type="",
        params="",
        help="show memory backends",
        run=info_memdev,
    ),
    Command(
        name="memory-devices",
        args_type="",
        params="",
        help="show memory devices",
        run=info_memory_devices,
    ),
    Command(
        name="memory_size_summary",
        args_type="",
        params="",
        help=(
            "show the amount of initially allocated and present hotpluggable (if "
            "enabled) memory in bytes."
        ),
        run=info_memory_size_summary,
    ),
    Command(
        name="numa",
        args_type="",
        params="",
        help="show NUMA information",
        run=info_numa,
    ),
    Command(
        name="dump",
        args_type="",
        params="",
        help="Display the latest dump status",
        run=info_dump,
    ),
)
