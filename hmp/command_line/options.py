"""QEMU's own command line, as far as words go: which options there are and what follows them.

What the values mean is decided where they are used (`startup`); here a line is taken apart and
each option keeps its text, since QEMU's messages show it.
"""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What `host_options` and `firmware_options` know the meaning of: nobody has to wait for them who
# asks for none of it.
HOST_OPTIONS = frozenset(
    "action watchdog-action no-reboot no-shutdown sandbox icount add-fd msg overcommit iscsi seed "
    "compat rotate singlestep xen-domid xen-attach xen-domid-restrict".split()
)
FIRMWARE_OPTIONS = frozenset(
    "boot fw_cfg option-rom smbios acpitable kernel append initrd dtb bios".split()
)
# Options of QEMU 7.2 that take a value, by what becomes of them here.
_USED_WITH_VALUE = frozenset(
    "M machine m name uuid drive blockdev device hda hdb hdc hdd fda fdb cdrom loadvm monitor "
    "global accel smp rtc cpu display ui config incoming "
    "netdev nic net object chardev serial parallel mon qmp qmp-pretty echr pidfile vga "
    "action watchdog-action sandbox icount add-fd msg overcommit iscsi seed compat rotate "
    "numa xen-domid boot fw_cfg option-rom smbios acpitable kernel append initrd dtb bios "
    "pflash sd mtdblock readconfig set "
    "c record replay fault D d trace gdb".split()
)
_IGNORED_WITH_VALUE = frozenset("k L".split())
_MISSING_WITH_VALUE = frozenset(
    "mem-path audiodev audio fsdev virtfs usbdevice spice vnc tpmdev "
    "debugcon dfilter chroot runas plugin dump-vmstate".split()
)
_USED_ALONE = frozenset(
    "S snapshot nodefaults nographic daemonize only-migratable h help version ui-help yes lab "
    "json deterministic s usb no-acpi no-hpet enable-kvm no-reboot no-shutdown singlestep "
    "xen-attach xen-domid-restrict".split()
)
_IGNORED_ALONE = frozenset(
    "no-user-config no-fd-bootchk portrait full-screen win2k-hack "
    "mem-prealloc async-teardown enable-sync-profile".split()
)
_MISSING_ALONE = frozenset("preconfig audio-help".split())
# What follows it is its value, if it looks like one.
_WITH_OPTIONAL_VALUE = frozenset(("check",))
_WITH_VALUE = _USED_WITH_VALUE | _IGNORED_WITH_VALUE | _MISSING_WITH_VALUE
_ALONE = _USED_ALONE | _IGNORED_ALONE | _MISSING_ALONE


def option_names() -> tuple[frozenset[str], frozenset[str]]:
    """The options that are understood: those that stand alone, and those that take a value."""
    return _USED_ALONE | _IGNORED_ALONE, _USED_WITH_VALUE | _IGNORED_WITH_VALUE


class Option:
    """One option of the command line.

    Attributes:
        name: without dashes; "" for a disk image given alone.
        value: what follows; "" for none.
        text: how messages show it: ``-drive file=x``.
    """

    __slots__ = ("name", "text", "value")

    def __init__(self, name: str, value: str, text: str) -> None:
        self.name = name
        self.value = value
        self.text = text

    @property
    def words(self) -> list[str]:
        """As it is given on a command line."""
        if not self.name:
            return [self.value]
        return [f"-{self.name}", self.value] if self.name in _WITH_VALUE else [f"-{self.name}"]


class OptionError(QemuError):
    """The command line can't be taken; the message begins with the option's text."""


def parse(arguments: Sequence[str]) -> list[Option]:
    """Take a command line apart, in order.

    Raises:
        OptionError: an option that QEMU doesn't have, one without its value, or one that this
            program can't follow.
    """
    options: list[Option] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            options.append(Option("", word, word))
            continue
        name = word[2:] if word.startswith("--") else word[1:]
        is_last = not rest or rest[0].startswith("-")
        if name in _ALONE or (name in _WITH_OPTIONAL_VALUE and is_last):
            value, text = "", word
        elif name in _WITH_VALUE or name in _WITH_OPTIONAL_VALUE:
            if not rest:
                raise OptionError(f"{word}: requires an argument")
            value = rest.pop(0)
            text = f"{word} {value}"
        else:
            raise OptionError(f"{word}: invalid option")
        if name in _MISSING_ALONE or name in _MISSING_WITH_VALUE:
            raise OptionError(f"{text}: not simulated yet")
        if name in _USED_ALONE or name in _USED_WITH_VALUE or name in _WITH_OPTIONAL_VALUE:
            options.append(Option(name, value, text))
    return options
