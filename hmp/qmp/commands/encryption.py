"""What keeps a guest's memory from its host: SEV and SGX, which only KVM can do."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_sev(session: QmpSession) -> dict[str, Any]:
    numbers = dict.fromkeys(("api-major", "api-minor", "build-id", "policy", "handle"), 0)
    return {"enabled": False, "state": "uninit", **numbers}


def query_sev_attestation_report(session: QmpSession, *, mnonce: str) -> None:
    raise QemuError("SEV is not enabled")


def query_sev_capabilities(session: QmpSession) -> None:
    raise QemuError("KVM not enabled")


def query_sev_launch_measure(session: QmpSession) -> None:
    raise QemuError("SEV launch measurement is not available")


def sev_inject_launch_secret(
    session: QmpSession, *, packet_header: str, secret: str, gpa: int | None = None
) -> None:
    raise QemuError("SEV not enabled for guest")


def query_sgx(session: QmpSession) -> None:
    if session.machine.cpus and session.machine.board.name != "microvm":
        raise QemuError("No EPC regions defined, SGX not available")
    raise QemuError("SGX is only supported on PC machines")


def query_sgx_capabilities(session: QmpSession) -> None:
    raise QemuError("SGX is not enabled in KVM")


HANDLERS: dict[str, Handler] = {
    "query-sev": query_sev,
    "query-sev-attestation-report": query_sev_attestation_report,
    "query-sev-capabilities": query_sev_capabilities,
    "query-sev-launch-measure": query_sev_launch_measure,
    "query-sgx": query_sgx,
    "query-sgx-capabilities": query_sgx_capabilities,
    "sev-inject-launch-secret": sev_inject_launch_secret,
}
