"""A processor's local interrupt controller, which no guest here has set up.

Source of a reset's state: Intel SDM volume 3, "Local APIC State After Power-Up or Reset".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MASKED = 1 << 16  # an entry of the local vector table that lets nothing through
_ENTRIES = {"LVT0": "", "LVT1": "", "LVTPC": "", "LVTERR": "", "LVTTHMR": "", "LVTT": "one-shot"}
_SPURIOUS = 0xFF


def describe_local(cpu_index: int) -> Sequence[str]:
    """The lines of ``info lapic``."""
    entries = [
        f"{name}\t 0x{_MASKED:08x} active-hi edge  masked {timer:>16}     Fixed  (vec 0)"
        for name, timer in _ENTRIES.items()
    ]
    return (
        f"dumping local APIC state for CPU {cpu_index} ",
        "",
        *entries,
        "Timer\t DCR=0x0 (divide by 2) initial_count = 0 current_count = 0",
        f"SPIV\t 0x{_SPURIOUS:08x} APIC disabled, focus=off, spurious vec {_SPURIOUS}",
        f"ICR\t 0x{0:08x} physical edge de-assert no-shorthand",
        f"ICR2\t 0x{0:08x} cpu 0 (APIC ID)",
        f"ESR\t 0x{0:08x}",
        "ISR\t (none)",
        "IRR\t (none)",
        "",
        "APR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR 0x00",
    )
