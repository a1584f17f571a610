"""What gives the guest something of the host: random numbers, input, buses, helpers."""

from __future__ import annotations

import os

from blockdev.errors import DeviceNotFound, QemuError
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    TEXT,
    UINT32,
    Property,
    flag,
    refuse_zero,
    string,
    unsimulated,
)
from machine.schema import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine


def _complete_rng_random(_: Machine, made: QomObject) -> None:
    path = made.values["filename"]
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        text = f"Could not open '{path}': {os.strerror(error.errno or 0)}"
        raise QemuError(text, error.errno or 0) from error


class ChardevUser:
    """An object's hold on a character device."""

    def __init__(self, machine: Machine, label: str) -> None:
        chardev = machine.find_chardev(label)
        if chardev is None:
            raise DeviceNotFound(label)
        self._chardev = chardev.claim()
        self._chardev.attach(_nothing, _nothing, _nothing)

    def close(self) -> None:
        self._chardev.detach()


def _nothing(*_: object) -> None:
    """Nobody asks such an object for anything, so what comes is nothing to it."""


def _complete_egd(machine: Machine, made: QomObject) -> ChardevUser:
    return ChardevUser(machine, made.values["chardev"])


def _complete_builtin_crypto(_: Machine, made: QomObject) -> None:
    if made.values["queues"] != 1:
        raise QemuError("Only support one queue in cryptdov-builtin backend")


def _queues(type: str) -> tuple[Property, ...]:
    check = refuse_zero(type, "queues", "Property")
    return (Property("queues", UINT32, "uint32", default=1, check=check),)


_CHARDEV = (string("chardev", needed=True),)


def _vhost_crypto(machine: Machine, made: QomObject) -> None:
    ChardevUser(machine, made.values["chardev"]).close()
    unsimulated(machine, made)


def _open_failing(name: str) -> Callable[[Machine, QomObject], None]:
    def complete(machine: Machine, made: QomObject) -> None:
        path = made.values[name]
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            text = f"Could not open '{path}': {os.strerror(error.errno or 0)}"
            raise QemuError(text, error.errno or 0) from error
        unsimulated(machine, made)

    return complete


def _complete_pr_manager(machine: Machine, made: QomObject) -> None:
    from blockdev.address import UnixAddress
    from blockdev.sockets import connect

    connect(UnixAddress(path=made.values["path"])).close()
    unsimulated(machine, made)


def _complete_qtest(machine: Machine, made: QomObject) -> None:
    label = made.values["chardev"]
    if machine.find_chardev(label) is None:
        raise QemuError(f"Cannot find character device '{label}'")
    unsimulated(machine, made)


TYPES = (
    ObjectType("can-bus"),
    ObjectType(
        "can-host-socketcan",
        (
            string("if", needed=True),
            Property("canbus", TEXT, "link<can-bus>", is_optional=False),
        ),
        complete=unsimulated,
    ),
    ObjectType("cryptodev-backend", _queues("cryptodev-backend")),
    ObjectType(
        "cryptodev-backend-builtin",
        _queues("cryptodev-backend-builtin"),
        complete=_complete_builtin_crypto,
    ),
    ObjectType(
        "cryptodev-vhost-user",
        _queues("cryptodev-vhost-user"),
        _CHARDEV,
        complete=_vhost_crypto,
    ),
    ObjectType(
        "dbus-vmstate",
        (string("addr", needed=True), string("id-list")),
        complete=unsimulated,
    ),
    ObjectType(
        "input-barrier",
        (
            string("name", needed=True),
            *(string(name) for name in "server port x-origin y-origin width height".split()),
        ),
        complete=unsimulated,
    ),
    ObjectType(
        "input-linux",
        (
            string("evdev", needed=True),
            flag("grab_all", False),
            flag("repeat", False),
            Property(
                "grab-toggle",
                Enum("ctrl-ctrl alt-alt shift-shift meta-meta scrolllock ctrl-scrolllock"),
                "GrabToggleKeys",
                default="ctrl-ctrl",
            ),
        ),
        complete=_open_failing("evdev"),
    ),
    ObjectType("pr-manager-helper", (string("path", needed=True),), complete=_complete_pr_manager),
    ObjectType("qtest", (*_CHARDEV, string("log")), complete=_complete_qtest),
    ObjectType("rng-builtin"),
    ObjectType("rng-egd", _CHARDEV, complete=_complete_egd),
    ObjectType("rng-random", (string("filename", "/dev/urandom"),), complete=_complete_rng_random),
    ObjectType(
        "x-remote-object",
        (string("fd", needed=True), string("devid", needed=True)),
        complete=unsimulated,
    ),
)
