"""A processor's local APIC, as a reset leaves it: no firmware of ours programs it.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, chapter 11.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MASKED = 0x00010000
_LOCAL_VECTORS = ("LVT0", "LVT1", "LVTPC", "LVTERR", "LVTTHMR", "LVTT")
_TIMER = "LVTT"
_SPURIOUS_VECTOR = 0xFF


def describe(index: int) -> Iterator[str]:
    """The lines of ``info lapic`` for the processor of this index."""
    yield f"dumping local APIC state for CPU {index} "
    yield ""
    for name in _LOCAL_VECTORS:
        mode = "one-shot" if name == _TIMER else ""
        yield f"{name}\t {_MASKED:#010x} active-hi edge  masked         {mode:12} Fixed  (vec 0)"
    yield "Timer\t DCR=0x0 (divide by 2) initial_count = 0 current_count = 0"
    yield (
        f"SPIV\t {_SPURIOUS_VECTOR:#010x} APIC disabled, focus=off, spurious vec {_SPURIOUS_VECTOR}"
    )
    yield "ICR\t 0x00000000 physical edge de-assert no-shorthand"
    yield "ICR2\t 0x00000000 cpu 0 (APIC ID)"
    yield "ESR\t 0x00000000"
    yield "ISR\t (none)"
    yield "IRR\t (none)"
    yield ""
    yield "APR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR 0x00"
