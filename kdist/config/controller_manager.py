"""Settings of ``kdist controller-manager``; the flags carry upstream's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL
from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class ControllerManagerSettings:
    """The controller manager's command line."""

    kubeconfig: Path = option(help="How to reach the API servers, and who the controller manager is.")
    leader_elect: bool = option(
        True, help="Whether to wait for the Lease kube-system/kube-controller-manager before acting."
    )
    leader_elect_lease_duration: float = option(
        15.0, help="Seconds after which a leader that does not renew may be replaced."
    )
    leader_elect_renew_deadline: float = option(
        10.0, help="Seconds without a renewal after which a leader stops. Below the lease duration."
    )
    leader_elect_retry_period: float = option(2.0, help="Seconds between tries to take or renew the Lease.")
    controllers: tuple[str, ...] = option(
        ("*",),
        help="Controllers to run: '*' is all that are on by default (all but bootstrap-signer-controller and "
        "token-cleaner-controller), 'NAME' one more, '-NAME' one less.",
    )
    cluster_cidr: tuple[str, ...] = option(
        (), help="CIDRs of the pods, one per family: nodes get their ranges from them. Default: none get any."
    )
    allocate_node_cidrs: bool = option(True, help="Whether nodes get pod ranges from the cluster CIDR.")
    node_cidr_mask_size: int = option(24, help="Prefix length of a node's IPv4 range: 24 holds 254 pods.")
    node_cidr_mask_size_ipv6: int = option(64, help="Prefix length of a node's IPv6 range.")
    root_ca_file: Path | None = option(
        None, help="CA bundle (PEM) that pods trust for the API server. Default: it is not published."
    )
    service_account_private_key_file: Path | None = option(
        None, help="Private key (PEM) for tokens in Secrets of service accounts. Default: none are issued."
    )
    legacy_service_account_token_clean_up_period: float = option(
        31536000.0,
        help="Seconds without use after which a generated token Secret is invalid; after as many it is deleted.",
    )
    cluster_signing_cert_file: Path | None = option(
        None, help="CA certificate (PEM) that signs approved certificate requests. Default: none are signed."
    )
    cluster_signing_key_file: Path | None = option(None, help="Key (PEM) of the signing CA.")
    cluster_signing_duration: float = option(
        31536000.0, help="Longest life in seconds of a signed certificate; requests may ask for less."
    )
    cluster_signing_kubelet_serving_cert_file: Path | None = option(
        None, help="CA (PEM) of signer kubernetes.io/kubelet-serving, instead of the common one."
    )
    cluster_signing_kubelet_serving_key_file: Path | None = option(None, help="Key (PEM) of that CA.")
    cluster_signing_kubelet_client_cert_file: Path | None = option(
        None,
        help="CA (PEM) of signer kubernetes.io/kube-apiserver-client-kubelet, instead of the common one.",
    )
    cluster_signing_kubelet_client_key_file: Path | None = option(None, help="Key (PEM) of that CA.")
    cluster_signing_kube_apiserver_client_cert_file: Path | None = option(
        None, help="CA (PEM) of signer kubernetes.io/kube-apiserver-client, instead of the common one."
    )
    cluster_signing_kube_apiserver_client_key_file: Path | None = option(None, help="Key (PEM) of that CA.")
    cluster_signing_legacy_unknown_cert_file: Path | None = option(
        None, help="CA (PEM) of signer kubernetes.io/legacy-unknown, instead of the common one."
    )
    cluster_signing_legacy_unknown_key_file: Path | None = option(None, help="Key (PEM) of that CA.")
    node_monitor_grace_period: float = option(
        40.0, help="Seconds without a heartbeat after which a node's conditions are Unknown."
    )
    node_monitor_period: float = option(5.0, help="Seconds between two looks at the nodes.")
    node_startup_grace_period: float = option(
        60.0, help="Seconds that a new node has until its first heartbeat."
    )
    node_eviction_rate: float = option(
        0.1, help="Nodes a second of one zone whose pods are evicted while the zone is healthy."
    )
    secondary_node_eviction_rate: float = option(
        0.01, help="The same while a large zone is unhealthy; small ones stop evicting."
    )
    unhealthy_zone_threshold: float = option(
        0.55, help="Fraction of nodes not ready (at least 3) that makes a zone unhealthy."
    )
    large_cluster_size_threshold: int = option(50, help="Nodes from which on a zone counts as large.")
    terminated_pod_gc_threshold: int = option(
        12500, help="Finished pods that are kept before the oldest are deleted; 0 keeps all."
    )
    healthz_bind_address: str = option(
        "127.0.0.1:10257", help="HOST:PORT of the health and metrics endpoints (plain HTTP)."
    )
    api_level: str = option(DEFAULT_LEVEL, help="The API level whose defaults the feature gates have.")
    feature_gates: tuple[str, ...] = option(
        (), help="GATE=true|false pairs that change what the API level has on by default."
    )
    log_level: str = option("info", help="debug, info, warning or error.")
