"""What is saved of an x86 processor, under the stream's names.

A processor of ours executes nothing, so that most of this is as a reset leaves it, or as a stream
had it, and goes on as it is.  The registers that a guest of ours has are brought up to date before
they are written.

Source: streams of QEMU 7.2; Intel SDM volume 3, table 9-1.
"""

from __future__ import annotations

from types import SimpleNamespace

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Int32, Struct, Temporary, UInt8, UInt16, UInt32, UInt64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.cpu.x86 import X86Cpu
    from machine.vmstate.field import Field

_GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_REGISTERS = (*_GENERAL, *(f"r{number}" for number in range(8, 16)))
_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
_CODE, _DATA, _LOCAL_TABLE, _TASK = 0x9B00, 0x9300, 0x8200, 0x8B00  # access rights
_BANKS, _BANK_REGISTERS = 10, 4
_ALL_ONES = (1 << 64) - 1

# Numbers that aren't 0 after a reset.
_AFTER_RESET = {
    "hflags": 0x40,
    "fpuc": 0x37F,
    "cr[0]": 0x60000010,
    "a20_mask": -1,
    "mxcsr": 0x1F80,
    "smbase": 0x30000,
    "pat": 0x0007040600070406,
    "hflags2": 0x101,
    "interrupt_injected": -1,
    "exception_nr": -1,
    "mcg_cap": 0x100010A,
    "mcg_ctl": _ALL_ONES,
    "xcr0": 1,
}


class CpuState:
    """A processor's registers.

    Args:
        cpu: whose they are.

    Attributes:
        env: the registers by name.
        interrupt_request: what it is to look at next.
    """

    def __init__(self, cpu: X86Cpu) -> None:
        self._cpu = cpu
        self.reset()

    def reset(self) -> None:
        """As a reset leaves it."""
        self.interrupt_request = 0
        self._is_halted = self._cpu.index != 0
        env = SimpleNamespace(**dict.fromkeys(_NAMES, 0))
        for name, value in _AFTER_RESET.items():
            setattr(env, name, value)
        env.regs = [0] * len(_REGISTERS)
        env.fpregs = [SimpleNamespace(mantissa=0, exponent=0) for _ in range(8)]
        env.segs = [_segment(_CODE if name == "cs" else _DATA) for name in _SEGMENTS]
        env.ldt, env.tr = _segment(_LOCAL_TABLE), _segment(_TASK)
        env.gdt, env.idt = _segment(0), _segment(0)
        env.dr = [0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400]
        for part in range(2):
            names = [f"_q_ZMMReg[{2 * part + half}]" for half in range(2)]
            registers = [SimpleNamespace(**dict.fromkeys(names, 0)) for _ in range(16)]
            setattr(env, f"xmm_regs[{part}]", registers)
        env.mtrr_fixed = [0] * 11
        env.mtrr_var = [SimpleNamespace(base=0, mask=0) for _ in range(8)]
        env.mce_banks = [_ALL_ONES, 0, 0, 0] * _BANKS
        self.env = env
        self._cpu.kept = {}
        self.look()

    @property
    def halted(self) -> int:
        """Whether it waits."""
        return int(self._cpu.halted)

    @halted.setter
    def halted(self, value: int) -> None:
        self._cpu.kept["halted"] = value

    def look(self) -> None:
        """Take what the processor has now."""
        registers = self._cpu.registers()
        env = self.env
        env.regs = [registers[name] for name in _REGISTERS]
        env.eip, env.eflags = registers["eip"], registers["eflags"]
        for name, segment in zip(_SEGMENTS, env.segs, strict=True):
            segment.selector = registers[name]
            segment.base = registers[f"{name}.base"]
            segment.limit = registers[f"{name}.limit"]

    def give(self, version_id: int) -> None:
        """Let the processor have what a stream said."""
        env, kept = self.env, self._cpu.kept
        kept.update(zip(_REGISTERS, env.regs, strict=True))
        kept.update(eip=env.eip, eflags=env.eflags)
        for name, segment in zip(_SEGMENTS, env.segs, strict=True):
            kept[name] = segment.selector
            kept[f"{name}.base"] = segment.base
            kept[f"{name}.limit"] = segment.limit


def _segment(flags: int) -> SimpleNamespace:
    return SimpleNamespace(selector=0, base=0, limit=0xFFFF, flags=flags)


def _numbers(kind: type[Field], names: str) -> tuple[Field, ...]:
    return tuple([kind(f"env.{name}") for name in names.split()])


_SEGMENT = VMStateDescription(
    name="segment",
    fields=(UInt32("selector"), UInt64("base"), UInt32("limit"), UInt32("flags")),
)
_FLOAT = VMStateDescription(
    name="fpreg",
    fields=(
        Temporary(
            VMStateDescription(name="fpreg_tmp", fields=(UInt64("mantissa"), UInt16("exponent"))),
            lambda register: register,
        ),
    ),
)
_MTRR = VMStateDescription(name="mtrr_var", fields=(UInt64("base"), UInt64("mask")))


def _vectors(part: int) -> Struct:
    """Two of each vector register's quarters."""
    names = [f"_q_ZMMReg[{2 * part + half}]" for half in range(2)]
    description = VMStateDescription(
        name=f"xmm_reg{'h' * part}", fields=tuple([UInt64(name) for name in names])
    )
    return Struct(f"env.xmm_regs[{part}]", description, count=16)


_FIELDS: tuple[Field, ...] = (
    UInt64("env.regs", count=16),
    *_numbers(UInt64, "eip eflags"),
    UInt32("env.hflags"),
    *_numbers(UInt16, "fpuc fpus_vmstate fptag_vmstate fpregs_format_vmstate"),
    Struct("env.fpregs", _FLOAT, count=8),
    Struct("env.segs", _SEGMENT, count=6),
    *(Struct(f"env.{name}", _SEGMENT) for name in ("ldt", "tr", "gdt", "idt")),
    UInt32("env.sysenter_cs"),
    *_numbers(UInt64, "sysenter_esp sysenter_eip cr[0] cr[2] cr[3] cr[4]"),
    UInt64("env.dr", count=8),
    Int32("env.a20_mask"),
    UInt32("env.mxcsr"),
    _vectors(0),
    *_numbers(UInt64, "efer star lstar cstar fmask kernelgsbase"),
    UInt32("env.smbase"),
    UInt64("env.pat"),
    UInt32("env.hflags2"),
    *_numbers(UInt64, "vm_hsave vm_vmcb tsc_offset intercept"),
    *_numbers(UInt16, "intercept_cr_read intercept_cr_write intercept_dr_read intercept_dr_write"),
    UInt32("env.intercept_exceptions"),
    UInt8("env.v_tpr"),
    UInt64("env.mtrr_fixed", count=11),
    UInt64("env.mtrr_deftype"),
    Struct("env.mtrr_var", _MTRR, count=8),
    Int32("env.interrupt_injected"),
    UInt32("env.mp_state"),
    UInt64("env.tsc"),
    Int32("env.exception_nr"),
    *_numbers(UInt8, "soft_interrupt nmi_injected nmi_pending has_error_code"),
    UInt32("env.sipi_vector"),
    *_numbers(UInt64, "mcg_cap mcg_status mcg_ctl"),
    UInt64("env.mce_banks", count=_BANKS * _BANK_REGISTERS),
    *_numbers(UInt64, "tsc_aux system_time_msr wall_clock_msr xcr0 xstate_bv"),
    _vectors(1),
)
_NAMES = ["poll_control_msr", *(field.name.removeprefix("env.") for field in _FIELDS)]
_POLL_CONTROL = VMStateDescription(
    name="cpu/poll_control_msr",
    fields=(UInt64("env.poll_control_msr"),),
    needed=lambda state: True,  # QEMU writes it unless it has KVM's own value
)
CPU_COMMON = VMStateDescription(
    name="cpu_common", fields=(UInt32("halted"), UInt32("interrupt_request"))
)
CPU = VMStateDescription(
    name="cpu",
    version_id=12,
    minimum_version_id=11,
    fields=_FIELDS,
    subsections=(_POLL_CONTROL,),
    pre_save=CpuState.look,
    post_load=CpuState.give,
)
