"""`%screen`: the text that the guest shows, to be read where the monitor is."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def screen(monitor: Monitor) -> None:
    machine = monitor.machine
    if machine.isa is None or machine.isa.vga is None:
        raise QemuError("This machine has no display")
    from machine.display.text_screen import lines

    shown = [line.rstrip() for line in lines(machine.isa.vga)]
    if not shown:
        raise QemuError("The guest shows no text; it does when it runs")
    while shown and not shown[-1]:
        shown.pop()
    for line in shown:
        monitor.print_line(line)
