"""Secrets, credentials, and who may do what."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    BOOL,
    TEXT,
    UINT32,
    Property,
    flag,
    string,
)
from machine.schema import Enum, Integer, List, Member, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


_SECRET = (
    Property("format", Enum("raw base64"), "QCryptoSecretFormat", default="raw"),
    string("keyid"),
    string("iv"),
)
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n\r")


def _complete_secret(machine: Machine, made: QomObject) -> None:
    data, path = made.values["data"], made.values["file"]
    if data is not None and path is not None:
        raise QemuError("'file' and 'data' are mutually exclusive")
    if path is not None:
        raw = _read_file(path)
    elif data is not None:
        raw = data.encode("utf-8", "surrogateescape")
    else:
        raise QemuError("Either 'file' or 'data' must be provided")
    if made.values["keyid"] is not None:
        key = machine.objects.find(made.values["keyid"])
        if key is None or key.type.name != "secret":
            raise QemuError(f"No secret with id '{made.values['keyid']}'")
        raise QemuError("encrypted secrets are not simulated yet")
    if made.values["format"] == "base64" and set(raw) - _BASE64:
        raise QemuError("Base64 data contains invalid characters")


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        # The words are GLib's, with its own quotes.
        opened = f"Failed to open file \N{LEFT DOUBLE QUOTATION MARK}{path}"
        raise QemuError(
            f"Unable to read {path}: {opened}\N{RIGHT DOUBLE QUOTATION MARK}: {reason}"
        ) from error


_TLS = (
    string("dir"),
    Property("endpoint", Enum("client server"), "QCryptoTLSCredsEndpoint", default="client"),
    string("priority"),
    flag("verify-peer", True),
)


def _complete_psk(_: Machine, made: QomObject) -> None:
    if made.values["dir"] is None:
        raise QemuError("Missing 'dir' property value")
    _no_such_credentials(made.values["dir"], "keys.psk")


def _complete_x509(_: Machine, made: QomObject) -> None:
    if made.values["dir"] is None:
        raise QemuError("Missing 'dir' property value")
    _no_such_credentials(made.values["dir"], "ca-cert.pem")


def _no_such_credentials(folder: str, name: str) -> None:
    path = os.path.join(folder, name)
    try:
        os.stat(path)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise QemuError(f"Unable to access credentials {path}: {reason}") from error


def _complete_suites(_: Machine, made: QomObject) -> None:
    if made.values["priority"] is None:
        raise QemuError("'priority' property is not set")


_POLICY = Enum("deny allow")
_RULE = Struct(
    Member("match", TEXT, is_optional=False),
    Member("policy", _POLICY, is_optional=False),
    Member("format", Enum("exact glob")),
)


def _complete_keyring(_: Machine, made: QomObject) -> None:
    """Nobody puts keys for us into the kernel's ring."""
    serial = made.values["serial"] & 0xFFFFFFFF
    raise QemuError(f"Unable to read serial key {serial:08x}: Required key not available")


TYPES = (
    ObjectType(
        "authz-list",
        (
            Property("policy", _POLICY, "QAuthZListPolicy", default="deny"),
            Property("rules", List(_RULE), "QAuthZListRule", default=[]),
        ),
    ),
    ObjectType(
        "authz-list-file",
        (string("filename", needed=True), flag("refresh", True)),
        is_creatable=False,
    ),
    ObjectType("authz-simple", (string("identity", needed=True),)),
    ObjectType("secret", _SECRET, (string("data"), string("file")), complete=_complete_secret),
    ObjectType(
        "secret_keyring",
        _SECRET,
        (Property("serial", Integer(32), "int32_t", is_optional=False),),
        complete=_complete_keyring,
    ),
    ObjectType(
        "sev-guest",
        (
            Property("sev-device", TEXT, "string", default="/dev/sev", about="SEV device to use"),
            Property(
                "dh-cert-file",
                TEXT,
                "string",
                about="guest owners DH certificate (encoded with base64)",
            ),
            Property(
                "session-file",
                TEXT,
                "string",
                about="guest owners session parameters (encoded with base64)",
            ),
            Property(
                "kernel-hashes",
                BOOL,
                "bool",
                default=False,
                about="add kernel hashes to guest firmware for measured Linux boot",
            ),
        ),
        hidden=(
            Property("policy", UINT32, "uint32", default=1),
            Property("handle", UINT32, "uint32", default=0),
            Property("cbitpos", UINT32, "uint32", default=0),
            Property("reduced-phys-bits", UINT32, "uint32", is_optional=False),
        ),
    ),
    ObjectType("tls-cipher-suites", _TLS, complete=_complete_suites),
    ObjectType("tls-creds-anon", _TLS),
    ObjectType("tls-creds-psk", _TLS, (string("username"),), complete=_complete_psk),
    ObjectType(
        "tls-creds-x509",
        _TLS,
        (string("passwordid"), flag("sanity-check", True)),
        complete=_complete_x509,
    ),
)
