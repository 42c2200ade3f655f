"""Kernel settings without which pods cannot talk, set where the host allows it."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys")

REQUIRED = {
    "net.ipv4.ip_forward": "1",
    # A pod's answer to a neighbour on the same bridge must pass the rules that translated the question.
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
}

REQUIRED_IPV6 = {"net.ipv6.conf.all.forwarding": "1"}


def keep_advertised_routes(interface: str, root: Path = _ROOT) -> dict[str, str]:
    """Let a host that learns its default route from router advertisements go on doing so while it forwards.

    The kernel takes none on a host that forwards, unless told so (2). Returns what could not be set.
    """
    name = f"net/ipv6/conf/{interface}/accept_ra"  # an interface's name may have dots
    try:
        if (root / name).read_text().strip() == "1":
            (root / name).write_text("2")
    except OSError as error:
        return {name: error.strerror or str(error)}
    return {}


def ensure(settings: dict[str, str], root: Path = _ROOT) -> dict[str, str]:
    """Set what differs; returns setting -> reason for those that could not be set."""
    failed = {}
    for name, value in settings.items():
        path = root / name.replace(".", "/")
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            failed[name] = error.strerror or str(error)
    return failed
