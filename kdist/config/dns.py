"""Settings of ``kdist dns``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class DnsSettings:
    """Cluster DNS: unbound and its feeder."""

    kubeconfig: Path | None = option(
        None, help="Path of the kubeconfig; none means the service account of the pod it runs in."
    )
    cluster_domain: str = option("cluster.local", help="Zone of the cluster's names.")
    port: int = option(53, help="Port on which unbound serves UDP and TCP.")
    listen_addresses: tuple[str, ...] = option(
        ("0.0.0.0",), help="Addresses on which unbound serves; ::0 adds IPv6."
    )
    allow: tuple[str, ...] = option(
        ("0.0.0.0/0", "::0/0"),
        help="Networks whose questions are answered; the Service is inside the cluster.",
    )
    forwarders: tuple[str, ...] = option(
        (),
        help="Resolvers for names outside the cluster, as ADDRESS or ADDRESS@PORT; none means those of "
        "resolv-conf.",
    )
    resolv_conf: Path = option(
        Path("/etc/resolv.conf"),
        help="Where resolvers are taken from. When it names none, outside names are refused.",
    )
    cache_mib: int = option(16, help="MiB of cached messages; cached records take up to twice as much.")
    directory: Path = option(
        Path("/run/kdist-dns"), help="For configuration, records and the control socket; need not persist."
    )
    healthz_bind_address: str = option("0.0.0.0:8181", help="HOST:PORT of /livez, /readyz and /metrics.")
    log_level: str = option("info", help="debug, info, warning or error.")
