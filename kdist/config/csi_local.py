"""Settings of ``kdist csi-local driver`` and ``kdist csi-local sidecar``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option

_SOCKET = Path("/var/lib/kubelet/plugins/csi-local.kdist.io/csi.sock")


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """The CSI driver on one node."""

    node_id: str = option(help="Name of this node; volumes are usable on it only.")
    endpoint: Path = option(_SOCKET, help="Socket on which CSI is served.")
    data_dir: Path = option(
        Path("/var/lib/kdist/csi-local"),
        help="Where the volumes are; give it a disk of its own to limit them.",
    )
    log_level: str = option("info", help="debug, info, warning or error.")


@dataclass(frozen=True, kw_only=True)
class SidecarSettings:
    """Registration of the driver, and provisioning for this node."""

    kubeconfig: Path | None = option(
        None, help="Path of the kubeconfig; none means the service account of the pod it runs in."
    )
    node_name: str = option(help="Name of this node.")
    endpoint: Path = option(_SOCKET, help="The driver's socket as the sidecar sees it.")
    endpoint_on_host: Path = option(_SOCKET, help="The driver's socket as the node agent sees it.")
    registration_dir: Path = option(
        Path("/var/lib/kubelet/plugins_registry"), help="Where the node agent looks for new drivers."
    )
    healthz_bind_address: str = option("0.0.0.0:9809", help="HOST:PORT of /healthz, /readyz and /metrics.")
    log_level: str = option("info", help="debug, info, warning or error.")
