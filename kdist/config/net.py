"""Settings of ``kdist net``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class NetSettings:
    """The pod network of one host."""

    kubeconfig: Path | None = option(
        None, help="Path of the kubeconfig; none means the service account of the pod it runs in."
    )
    node_name: str = option(help="Name of this node.")
    cluster_cidr: tuple[str, ...] = option(
        (), help="Pod networks of the whole cluster: pods talk to them with their own addresses."
    )
    encapsulation: str = option(
        "auto",
        help="auto: plain routes to hosts on the same subnet and VXLAN to the others. always: VXLAN to all, "
        "for networks that drop foreign addresses. never: plain routes only.",
    )
    mtu: int = option(
        0, help="MTU of pods in bytes; 0 takes the host's, less 50 when any other host is reached by VXLAN."
    )
    cni_conf_dir: Path = option(
        Path("/etc/cni/net.d"), help="Where the container runtime looks for CNI configurations."
    )
    healthz_bind_address: str = option("127.0.0.1:10263", help="HOST:PORT of /healthz, /readyz and /metrics.")
    log_level: str = option("info", help="debug, info, warning or error.")
