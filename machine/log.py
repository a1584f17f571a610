"""The log: what is wanted in it, and the file that it goes to."""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.trace import Trace

# What can be wanted, in QEMU's order.  The processors here execute nothing of their own: of what
# they translate and meet there is never anything to say.
ITEMS = (
    ("out_asm", "show generated host assembly code for each compiled TB"),
    ("in_asm", "show target assembly code for each compiled TB"),
    ("op", "show micro ops for each compiled TB"),
    ("op_opt", "show micro ops after optimization"),
    ("op_ind", "show micro ops before indirect lowering"),
    ("int", "show interrupts/exceptions in short format"),
    ("exec", "show trace before each executed TB (lots of logs)"),
    ("cpu", "show CPU registers before entering a TB (lots of logs)"),
    ("fpu", "include FPU registers in the 'cpu' logging"),
    ("mmu", "log MMU-related activities"),
    ("pcall", "x86 only: show protected mode far calls/returns/exceptions"),
    ("cpu_reset", "show CPU state before CPU resets"),
    ("unimp", "log unimplemented functionality"),
    (
        "guest_errors",
        "log when the guest OS does something invalid (eg accessing a\nnon-existent register)",
    ),
    ("page", "dump pages at beginning of user mode emulation"),
    (
        "nochain",
        'do not chain compiled TBs so that "exec" and "cpu" show\ncomplete traces',
    ),
    ("plugin", "output from TCG plugins\n"),
    ("strace", "log every user-mode syscall, its input, and its result"),
    ("tid", "open a separate log file per thread; filename must contain '%d'"),
)
CPU_RESET = "cpu_reset"
_NAMES = frozenset(name for name, _ in ITEMS)
_PER_THREAD = "tid"
_TRACE = "trace:"
_NO_TEMPLATE = "Filename template with '%d' required for 'tid'"


class UnknownItem(QemuError):
    """An item of the log that there isn't; all that there are can be told then."""


class LogFile:
    """Where the log goes: a file that is opened when a setting changes, or standard error.

    Args:
        complain: writes text to standard error.

    Attributes:
        items: those that are wanted.
    """

    def __init__(self, complain: Callable[[str], object]) -> None:
        self._complain = complain
        self.items: frozenset[str] = frozenset()
        self._name = ""  # "" for standard error
        self._fd: int | None = None
        self._was_opened = False
        self._is_per_thread = False

    def set_items(self, items: frozenset[str]) -> None:
        """Want these and no others.

        Raises:
            QemuError: the file can't be opened; the items are wanted all the same.
        """
        if _PER_THREAD in items and not self._name:
            raise QemuError(_NO_TEMPLATE)
        self.items = items
        self._open()

    def set_name(self, template: str, items: frozenset[str] | None = None) -> None:
        """Write to another file from now on.

        Args:
            template: its name; one ``%d`` in it is the number of this process. "" for none.
            items: what is wanted from now on; None for the same as before.

        Raises:
            QemuError: it can't be a name, or the file can't be opened.
        """
        if self._is_per_thread:
            raise QemuError("Cannot change log filename after setting 'tid'")
        before, percent, after = template.partition("%")
        if percent and (not after.startswith("d") or "%" in after):
            raise QemuError(f"Bad logfile template: {template}")
        if items is not None:
            if _PER_THREAD in items:
                if not percent:
                    raise QemuError(_NO_TEMPLATE)
                self._is_per_thread = True
            self.items = items
        self._name = f"{before}{os.getpid()}{after[1:]}" if percent else template
        self.close()
        self._open()

    def write(self, text: str) -> None:
        if self._fd is None:
            self._complain(text)
            return
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return  # a full disk takes no more of it; the machine goes on

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> None:
        """Open it unless it is; only the first file is emptied before."""
        if self._fd is not None:
            return
        if not self._name:
            self._was_opened = True  # QEMU counts standard error too
            return
        mode = os.O_APPEND if self._was_opened else os.O_TRUNC
        try:
            self._fd = os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | mode, 0o666)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise QemuError(f"Error opening logfile {self._name}: {reason}") from error
        self._was_opened = True


def read_items(text: str, trace: Trace, report: Callable[[str], object]) -> frozenset[str]:
    """The items of ``item1,item2,...``; trace events among them are wanted at once.

    Args:
        report: takes a warning.

    Raises:
        UnknownItem: one is none.
    """
    items: set[str] = set()
    for name in text.split(","):
        if name == "all":
            items |= _NAMES
        elif name.startswith(_TRACE) and len(name) > len(_TRACE):
            event = name.removeprefix(_TRACE)
            if not trace.choose(event):
                report(f"warning: trace event '{event.removeprefix('-')}' does not exist")
        elif name in _NAMES:
            items.add(name)
        else:
            raise UnknownItem(f"Unknown log item '{name}'")
    return frozenset(items)


def describe_items(word: str) -> str:
    """What there is to choose from.

    Args:
        word: how one chooses: ``log`` or ``-d``.
    """
    rows = (("none", "remove all logs"), *ITEMS) if word == "log" else ITEMS
    lines = ["Log items (comma separated):", *(f"{name:<15} {text}" for name, text in rows)]
    lines.append("trace:PATTERN   enable trace events")
    return "\n".join(lines) + f'\n\nUse "{word} trace:help" to get a list of trace events.\n\n'
