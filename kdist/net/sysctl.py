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
