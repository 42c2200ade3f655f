"""Settings of ``kdist agent``."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL
from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """The node agent. Every flag has the kubelet's name where the kubelet has it."""

    kubeconfig: Path | None = option(
        None, help="How to reach the API servers; unset: run static pods only, without any API."
    )
    bootstrap_kubeconfig: Path | None = option(
        None,
        help="A kubeconfig with a bootstrap token, for the first certificate; deleted once there is one. Unset: none.",
    )
    cert_dir: Path = option(
        Path("/var/lib/kubelet/pki"),
        help="Where the agent keeps the certificates it asked for, with their keys.",
    )
    rotate_certificates: bool = option(
        False,
        help="Ask the cluster for the client certificate that the kubeconfig names, and renew it before it ends.",
    )
    rotate_server_certificates: bool = option(
        False, help="Ask the cluster for the serving certificate, and renew it before it ends."
    )
    node_name: str = option(
        socket.gethostname().lower(), help="Name of the Node object; the host's name by default."
    )
    node_ip: tuple[str, ...] = option(
        (), help="Addresses of this node, the primary one first; unset: the one of the default route."
    )
    pod_manifest_path: Path | None = option(None, help="Directory of static pod manifests; unset: none.")
    container_runtime_endpoint: str = option(
        "unix:///run/containerd/containerd.sock", help="The runtime's CRI socket."
    )
    root_dir: Path = option(Path("/var/lib/kubelet"), help="Where pods' files and volumes are kept.")
    cluster_dns: tuple[str, ...] = option(
        (), help="DNS servers of pods; unset: pods resolve as the host does."
    )
    cluster_domain: str = option("cluster.local", help="The cluster's DNS domain.")
    resolv_conf: Path = option(
        Path("/etc/resolv.conf"),
        help="The host's resolver configuration, as pods with dnsPolicy Default see it.",
    )
    cgroup_driver: str = option(
        "cgroupfs", help="Who makes pods' cgroups, cgroupfs or systemd; must be the runtime's own setting."
    )
    client_ca_file: Path | None = option(
        None, help="CA of client certificates on the agent's own port; unset: tokens only."
    )
    tls_cert_file: Path | None = option(None, help="Serving certificate; unset: a self-signed one is made.")
    tls_private_key_file: Path | None = option(None, help="Key of the serving certificate.")
    address: str = option("0.0.0.0", help="Address that the agent's own port is bound to.")
    port: int = option(10250, help="The agent's port for logs, exec, attach, port-forward and metrics.")
    healthz_bind_address: str = option("127.0.0.1:10248", help="Where /healthz answers; empty: nowhere.")
    node_labels: tuple[str, ...] = option((), help="Labels, KEY=VALUE, that the node gets when it registers.")
    register_with_taints: tuple[str, ...] = option(
        (), help="Taints, KEY=VALUE:EFFECT, that the node gets when it registers."
    )
    max_pods: int = option(110, help="How many pods may run here.")
    pod_max_pids: int | None = option(None, help="Processes that one pod may have; unset: no limit.")
    system_reserved: tuple[str, ...] = option(
        (), help="RESOURCE=QUANTITY kept for the host itself: taken off what pods may use."
    )
    container_log_max_size: str = option("10Mi", help="Size at which a container's log is rotated.")
    container_log_max_files: int = option(
        5, help="Log files kept for one container, the current one included."
    )
    api_level: str = option(
        DEFAULT_LEVEL,
        help="The API level that the node says it is of, whose defaults the feature gates have.",
    )
    feature_gates: tuple[str, ...] = option(
        (), help="GATE=true|false pairs that change what the API level has on by default."
    )
    log_level: str = option("info", help="debug, info, warning or error.")
