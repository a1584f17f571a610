"""How fast a guest changes its memory, and limits for that."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def set_vcpu_dirty_limit(monitor: Monitor, *, dirty_rate: int, cpu_index: int | None) -> None:
    raise QemuError(
        "dirty page limit feature requires KVM with accelerator property 'dirty-ring-size' set'"
    )


def cancel_vcpu_dirty_limit(monitor: Monitor, *, cpu_index: int | None) -> None:
    """There is none to cancel, which QEMU does not mind."""
    monitor.print_line("[Please use 'info vcpu_dirty_limit' to query dirty limit for virtual CPU]")


def calc_dirty_rate(
    monitor: Monitor,
    *,
    dirty_ring: bool,
    dirty_bitmap: bool,
    second: int,
    sample_pages_per_GB: int | None,
) -> None:
    from machine.dirty_rate import BITMAP, DEFAULT_SAMPLE_PAGES, RING, SAMPLING

    if not second:
        monitor.print_line("Incorrect period length specified!")
        return
    if dirty_ring and dirty_bitmap:
        monitor.print_line("Either dirty ring or dirty bitmap can be specified!")
        return
    mode = RING if dirty_ring else BITMAP if dirty_bitmap else SAMPLING
    pages = DEFAULT_SAMPLE_PAGES if sample_pages_per_GB is None else sample_pages_per_GB
    monitor.machine.dirty_rate.start(mode, second, pages)
    monitor.print_line(f"Starting dirty rate measurement with period {second} seconds")
    monitor.print_line("[Please use 'info dirty_rate' to check results]")


def info_dirty_rate(monitor: Monitor) -> None:
    from machine.dirty_rate import MEASURED, SAMPLING

    measured = monitor.machine.dirty_rate
    monitor.print_line(f"Status: {measured.status}")
    monitor.print_line(f"Start Time: {measured.started} (ms)")  # seconds, whatever the unit
    if measured.mode == SAMPLING:
        monitor.print_line(f"Sample Pages: {measured.sample_pages} (per GB)")
    monitor.print_line(f"Period: {measured.period} (sec)")
    monitor.print_line(f"Mode: {measured.mode}")
    is_ready = measured.status == MEASURED
    monitor.print_line(
        f"Dirty rate: {measured.rate} (MB/s)" if is_ready else "Dirty rate: (not ready)"
    )


def info_vcpu_dirty_limit(monitor: Monitor) -> None:
    monitor.print_line("Dirty page limit not enabled!")


COMMANDS = (
    Command(
        name="calc_dirty_rate",
        args_type="dirty_ring:-r,dirty_bitmap:-b,second:l,sample_pages_per_GB:l?",
        params="[-r] [-b] second [sample_pages_per_GB]",
        help=(
            "start a round of guest dirty rate measurement (using -r to\n"
            "\t\t\t specify dirty ring as the method of calculation and\n"
            "\t\t\t -b to specify dirty bitmap as method of calculation)"
        ),
        run=calc_dirty_rate,
    ),
    Command(
        name="set_vcpu_dirty_limit",
        args_type="dirty_rate:l,cpu_index:l?",
        params="dirty_rate [cpu_index]",
        help=(
            "set dirty page rate limit, use cpu_index to set limit\n"
            "\t\t\t\t\t on a specified virtual cpu"
        ),
        run=set_vcpu_dirty_limit,
    ),
    Command(
        name="cancel_vcpu_dirty_limit",
        args_type="cpu_index:l?",
        params="[cpu_index]",
        help=(
            "cancel dirty page rate limit, use cpu_index to cancel\n"
            "\t\t\t\t\t limit on a specified virtual cpu"
        ),
        run=cancel_vcpu_dirty_limit,
    ),
)

INFO = (
    Command(
        name="dirty_rate",
        args_type="",
        params="",
        help="show dirty rate information",
        run=info_dirty_rate,
    ),
    Command(
        name="vcpu_dirty_limit",
        args_type="",
        params="",
        help="show dirty page limit information of all vCPU",
        run=info_vcpu_dirty_limit,
    ),
)
