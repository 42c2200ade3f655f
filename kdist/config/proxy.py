"""Settings of ``kdist proxy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class ProxySettings:
    """The service proxy on one node."""

    kubeconfig: Path | None = option(
        None, help="Path of the kubeconfig; none means the service account of the pod it runs in."
    )
    node_name: str = option(help="Name of this node, by which its own endpoints are told from others.")
    cluster_cidr: tuple[str, ...] = option(
        (),
        help="Pod networks. Connections to a cluster IP from elsewhere get this node's address as their "
        "source; none means they never do. One of IPv6 makes the proxy serve IPv6 too.",
    )
    healthz_bind_address: str = option(
        "0.0.0.0:10256", help="HOST:PORT of /healthz, which load balancers ask, and /metrics."
    )
    sync_period: float = option(
        3600.0, help="Seconds between two complete rewrites of the rules, in case somebody changed them."
    )
    check_period: float = option(
        30.0, help="Seconds between two looks at whether the table is still there; a look costs nothing."
    )
    log_level: str = option("info", help="debug, info, warning or error.")
