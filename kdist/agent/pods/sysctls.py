"""Kernel parameters that a pod may set for itself: those that concern no other pod of the node. Pure."""

from __future__ import annotations

from kdist.agent.pods import spec as specs
from kdist.api.meta import Obj

# All of a namespace of the kernel that the pod has to itself.
_SAFE_IPC = frozenset({"kernel.shm_rmid_forced"})
_SAFE_NET = frozenset(
    f"net.ipv4.{name}"
    for name in (
        "ip_local_port_range",
        "ip_local_reserved_ports",
        "ip_unprivileged_port_start",
        "ping_group_range",
        "tcp_fin_timeout",
        "tcp_keepalive_intvl",
        "tcp_keepalive_probes",
        "tcp_keepalive_time",
        "tcp_rmem",
        "tcp_syncookies",
        "tcp_wmem",
    )
)
_SWAPPED = str.maketrans("/.", "./")


def of(pod: Obj) -> dict[str, str]:
    """The pod's parameters, by their dotted names."""
    wanted = (specs.spec(pod).get("securityContext") or {}).get("sysctls") or ()
    return {dotted(s["name"]): s.get("value") or "" for s in wanted}


def dotted(name: str) -> str:
    """The name with dots between its parts. It may be written with slashes, and dots in place of dots inside."""
    first = next((c for c in name if c in "./"), ".")
    return name if first == "." else name.translate(_SWAPPED)


def refusal(pod: Obj) -> str | None:
    """Why the node does not set the pod's parameters; None when it does."""
    spec = specs.spec(pod)
    for name in of(pod):
        if name not in _SAFE_IPC | _SAFE_NET:
            return f'forbidden sysctl: "{name}" not allowlisted'
        for safe, field, namespace in ((_SAFE_IPC, "hostIPC", "ipc"), (_SAFE_NET, "hostNetwork", "net")):
            if name in safe and spec.get(field):
                return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
    return None
