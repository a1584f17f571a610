"""Back ends that are devices or helpers of the host: what is wrong with asking for one.

None of them is simulated; QEMU's own refusals come first.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from machine.machine import Machine

_NOT_WITH_FD = "ifname script downscript vnet_hdr helper queues fds vhostfds".split()
_NOT_WITH_FDS = "ifname script downscript vnet_hdr helper queues vhostfd".split()


def make_tap(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    if "fd" in values:
        if any(option in values for option in _NOT_WITH_FD):
            raise QemuError(
                "ifname=, script=, downscript=, vnet_hdr=, helper=, queues=, fds=, and vhostfds= "
                "are invalid with fd="
            )
        raise _no_descriptor(values["fd"])
    if "fds" in values:
        if any(option in values for option in _NOT_WITH_FDS):
            raise QemuError(
                "ifname=, script=, downscript=, vnet_hdr=, helper=, queues=, and vhostfd= "
                "are invalid with fds="
            )
        raise _no_descriptor(values["fds"].partition(":")[0])
    if "helper" in values:
        make_bridge(machine, name, values)
    raise _unsimulated("tap")


def make_bridge(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    raise QemuError("bridge helper failed")


def make_vde(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    raise QemuError("Could not open vde: No such file or directory")


def make_l2tpv3(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    if values.get("udp") and not ("srcport" in values and "dstport" in values):
        raise QemuError("need both src and dst port for udp")
    raise _unsimulated("l2tpv3")


def make_vhost_user(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    label = values["chardev"]
    found = machine.find_chardev(label)
    if found is None:
        raise QemuError(f'chardev "{label}" not found')
    if found.backend != "socket":
        raise QemuError(f'chardev "{label}" is not reconnectable')
    raise _unsimulated("vhost-user")


def make_vhost_vdpa(machine: Machine, name: str, values: Mapping[str, Any]) -> NoReturn:
    path, number = values.get("vhostdev"), values.get("vhostfd")
    if path is None and number is None:
        raise QemuError("vhost-vdpa: neither vhostdev= nor vhostfd= was specified")
    if path is not None and number is not None:
        raise QemuError("vhost-vdpa: vhostdev= and vhostfd= are mutually exclusive")
    if number is not None:
        raise QemuError(f"vhost-vdpa: unable to parse vhostfd: {_no_descriptor(number)}")
    assert path is not None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        text = f"Could not open '{path}': {os.strerror(error.errno or 0)}"
        raise QemuError(text, error.errno or 0) from error
    raise _unsimulated("vhost-vdpa")


def _no_descriptor(name: str) -> QemuError:
    return QemuError(f"File descriptor named '{name}' has not been found")


def _unsimulated(kind: str) -> QemuError:
    return QemuError(f"network backend '{kind}' is not simulated yet")
