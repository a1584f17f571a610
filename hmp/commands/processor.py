"""CPUs, and what is said of the simulator that runs them."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command
from hmp.commands.description import has_none, print_description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


_MCE_BANKS = 10
_MCI_STATUS_VALID = 1 << 63
_MCI_STATUS_UNCORRECTED = 1 << 61


def cpu(monitor: Monitor, *, index: int) -> None:
    if not monitor.select_cpu(index):
        monitor.print_line("invalid CPU index")


def mce(
    monitor: Monitor,
    *,
    broadcast: bool,
    cpu_index: int,
    bank: int,
    status: int,
    mcg_status: int,
    addr: int,
    misc: int,
) -> None:
    """A corrected error is only noted; what isn't corrected ends a guest that listens to none.

    Source: Intel SDM volume 3, 16.3.2.2 (the bits of IA32_MCi_STATUS).
    """
    machine = monitor.machine
    if not any(cpu.index == cpu_index for cpu in machine.cpus):
        return  # QEMU says nothing either
    if not 0 <= bank < _MCE_BANKS:
        monitor.print_line("Invalid MCE bank number")
    elif not status & _MCI_STATUS_VALID:
        monitor.print_line("Invalid MCE status code")
    elif status & _MCI_STATUS_UNCORRECTED:
        monitor.print_line(f"CPU {cpu_index}: MCE capability is not enabled, raising triple fault")
        machine.reset()


def info_cpus(monitor: Monitor) -> None:
    for cpu in monitor.machine.cpus:
        mark = "*" if cpu is monitor.current_cpu else " "
        monitor.print_line(f"{mark} CPU #{cpu.index}: thread_id={cpu.thread_id}")


def info_registers(monitor: Monitor, *, cpustate_all: bool, vcpu: int | None) -> None:
    cpus = monitor.machine.cpus
    if cpustate_all:
        shown = list(cpus)
    elif vcpu is not None:
        shown = [cpu for cpu in cpus if cpu.index == vcpu]
        if not shown:
            monitor.print_line(f"CPU#{vcpu} not available")
    elif monitor.current_cpu is not None:
        shown = [monitor.current_cpu]
    else:
        shown = []
        monitor.print_line("No CPU available")
    for cpu in shown:
        lines = monitor.machine.describe(f"registers {cpu.index}")
        assert lines is not None, "every processor has registers"
        monitor.print(f"\nCPU#{cpu.index}\n")
        for line in lines:
            monitor.print_line(line)


def info_lapic(monitor: Monitor, *, apic_id: int | None) -> None:
    """A CPU's local interrupt controller; QEMU's numbering makes its ID the CPU's index."""
    if apic_id is not None:
        found = next((cpu for cpu in monitor.machine.cpus if cpu.index == apic_id), None)
    else:
        found = monitor.current_cpu
    if found is None:
        monitor.print_line("No CPU available")
    else:
        print_description(monitor, f"lapic {found.index}")


def info_hotpluggable_cpus(monitor: Monitor) -> None:
    if has_none(monitor, "hotpluggable-cpus"):
        raise QemuError("The feature 'query-hotpluggable-cpus' is not enabled")
    print_description(monitor, "hotpluggable-cpus")


def info_irq(monitor: Monitor) -> None:
    print_description(monitor, "irq")


def info_pic(monitor: Monitor) -> None:
    print_description(monitor, "pic")


def info_sev(monitor: Monitor) -> None:
    monitor.print_line("SEV is not enabled")


def info_sgx(monitor: Monitor) -> None:
    machine = monitor.machine
    if machine.cpus and machine.board.name != "microvm":
        monitor.print_line("No EPC regions defined, SGX not available")
    else:
        monitor.print_line("SGX is only supported on PC machines")


def info_jit(monitor: Monitor) -> None:
    """Nothing is ever translated, so that all counts stay at what they are at first."""
    monitor.print(
        "Translation buffer state:\n"
        "gen code size       0/1073736704\n"
        "TB count            0\n"
        "TB avg target size  0 max=0 bytes\n"
        "TB avg host size    0 bytes (expansion ratio: 0.0)\n"
        "cross page TB count 0 (0%)\n"
        "direct jump count   0 (0%) (2 jumps=0 0%)\n"
        "TB hash buckets     0/8192 (0.00% head buckets used)\n"
        "TB hash occupancy   0.00% avg chain occ. Histogram: [0.0,0.0)%|\u2588|[0.0,0.0]%\n"
        "TB hash avg chain   nan buckets. Histogram: (empty)\n"
        "\n"
        "Statistics:\n"
        "TB flush count      0\n"
        "TB invalidate count 0\n"
        "TLB full flushes    0\n"
        "TLB partial flushes 0\n"
        "TLB elided flushes  0\n"
        "[TCG profiler not compiled]\n"
    )


def info_opcount(monitor: Monitor) -> None:
    monitor.print_line("[TCG profiler not compiled]")


def info_profile(monitor: Monitor) -> None:
    raise QemuError("Internal profiler not compiled")


def info_kvm(monitor: Monitor) -> None:
    monitor.print_line("kvm support: disabled")


COMMANDS = (
    Command(
        name="cpu",
        args_type="index:i",
        params="index",
        help="set the default CPU",
        run=cpu,
    ),
    Command(
        name="mce",
        args_type="broadcast:-b,cpu_index:i,bank:i,status:l,mcg_status:l,addr:l,misc:l",
        params="[-b] cpu bank status mcgstatus addr misc",
        help="inject a MCE on the given CPU [and broadcast to other CPUs with -b option]",
        run=mce,
    ),
)

INFO = (
    Command(
        name="cpus",
        args_type="",
        params="",
        help="show infos for each CPU",
        run=info_cpus,
    ),
    Command(
        name="registers",
        args_type="cpustate_all:-a,vcpu:i?",
        params="[-a|vcpu]",
        help=(
            "show the cpu registers (-a: show register info for all cpus; vcpu: "
            "specific vCPU to query; show the current CPU's registers if no "
            "argument is specified)"
        ),
        run=info_registers,
    ),
    Command(
        name="lapic",
        args_type="apic-id:i?",
        params="[apic-id]",
        help=(
            "show local apic state (apic-id: local apic to read, default is which of current CPU)"
        ),
        run=info_lapic,
    ),
    Command(
        name="hotpluggable-cpus",
        args_type="",
        params="",
        help="Show information about hotpluggable CPUs",
        run=info_hotpluggable_cpus,
    ),
    Command(
        name="irq",
        args_type="",
        params="",
        help="show the interrupts statistics (if available)",
        run=info_irq,
    ),
    Command(
        name="pic",
        args_type="",
        params="",
        help="show PIC state",
        run=info_pic,
    ),
    Command(
        name="sev",
        args_type="",
        params="",
        help="show SEV information",
        run=info_sev,
    ),
    Command(
        name="sgx",
        args_type="",
        params="",
        help="show intel SGX information",
        run=info_sgx,
    ),
    Command(
        name="jit",
        args_type="",
        params="",
        help="show dynamic compiler info",
        run=info_jit,
    ),
    Command(
        name="opcount",
        args_type="",
        params="",
        help="show dynamic compiler opcode counters",
        run=info_opcount,
    ),
    Command(
        name="profile",
        args_type="",
        params="",
        help="show profiling information",
        run=info_profile,
    ),
    Command(
        name="kvm",
        args_type="",
        params="",
        help="show KVM information",
        run=info_kvm,
    ),
)
