"""The CNI configuration of this host: bridge, host-local addresses, host ports."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Any

CONFLIST = "10-kdist.conflist"
BRIDGE = "cni0"
# Gone after a reboot, as the pods are: addresses cannot leak over a crash.
_LEASES = "/run/kdist/ipam"


def conflist(
    pods: ipaddress.IPv4Network, mtu: int, pods6: ipaddress.IPv6Network | None = None
) -> dict[str, Any]:
    """The network configuration list for pods in ``pods``, which also get an address of ``pods6``. Pure."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,
        # The bridge may still have the address of an earlier pod range.
        "forceAddress": True,
        # A pod must be able to reach itself through its Service.
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "dataDir": _LEASES,
            # A pod gets an address of each.
            "ranges": [[{"subnet": str(network)}] for network in (pods, pods6) if network],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "1.0.0", "name": "kdist", "plugins": [bridge, portmap]}


def write(directory: Path, content: dict[str, Any]) -> bool:
    """Put the configuration in place in one step; False when it is there already. Raises OSError.

    The runtime watches the directory and takes a half-written file for a broken one.
    """
    path, text = directory / CONFLIST, json.dumps(content, indent=2) + "\n"
    if path.is_file() and path.read_text() == text:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{CONFLIST}.new"
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return True
