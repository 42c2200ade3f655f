"""Settings of ``kdist vip``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class VipSettings:
    """The virtual address of the API servers, on one control-plane host."""

    kubeconfig: Path = option(
        help="Credentials and the API server of this host alone: the address shall be where a server answers."
    )
    address: str = option(help="IPv4 or IPv6 address within the network of the control-plane hosts.")
    node_name: str = option(help="Name of this node, the holder's name in the Lease.")
    lease: str = option("kube-system/kdist-vip", help="NAMESPACE/NAME of the Lease that decides.")
    healthz_bind_address: str = option("127.0.0.1:10266", help="HOST:PORT of /livez, /readyz and /metrics.")
    log_level: str = option("info", help="debug, info, warning or error.")
