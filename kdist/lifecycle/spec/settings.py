"""The keys of the cluster file with their defaults: for the whole cluster, and for one host."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kdist.api import features
from kdist.lifecycle.spec import components, values

# Names that roles and playbooks register for themselves; an inventory that sets them is wrong all the same.
PREFIX = "kdist_"


def _setting(convert: Callable[[Any], Any], default: Any, help: str) -> Any:
    return field(default=default, metadata={"convert": convert, "help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Keys of ``group_vars/all``, one value for the whole cluster."""

    cluster_name: str = _setting(values.domain, "kdist", "Name of the cluster in kubeconfigs.")
    bundle: str = _setting(values.text, "dist/bundle", "Directory of the bundle on the operator's machine.")
    bundle_key: str | None = _setting(
        values.public_key,
        None,
        "Public key that must have signed the bundle, as `kdist bundle keygen` prints it; none: that of the first"
        " bundle, which the first run records beside the inventory.",
    )
    api_level: str = _setting(
        values.choice(*features.LEVELS), features.DEFAULT_LEVEL, "Level of the Kubernetes API that is served."
    )
    feature_gates: Mapping[str, bool] | None = _setting(
        values.switches,
        None,
        "Feature gates that differ from the defaults of kdist_api_level; none: the defaults.",
    )
    runtime_config: Mapping[str, bool] | None = _setting(
        values.served,
        None,
        "Groups and versions (GROUP/VERSION: true or false) that API servers serve besides the stable ones.",
    )
    api_port: int = _setting(values.whole(1, 65535), 6443, "Port of the API servers.")
    api_vip: str | None = _setting(
        values.address,
        None,
        "A free address in the control-plane hosts' network that always leads to a living API server; none: none.",
    )
    extra_sans: tuple[str, ...] = _setting(
        values.texts, (), "Further names and addresses in the API servers' certificate."
    )
    pod_cidr: str = _setting(
        values.networks,
        "10.244.0.0/16",
        "Network that pods get addresses from; with an IPv6 one after a comma, pods get an address of each.",
    )
    node_cidr_mask_size: int = _setting(values.whole(16, 28), 24, "Prefix length of each node's share of it.")
    node_cidr_mask_size_ipv6: int = _setting(
        values.whole(48, 124), 64, "Prefix length of each node's share of the IPv6 network of kdist_pod_cidr."
    )
    service_cidr: str = _setting(
        values.networks,
        "10.96.0.0/16",
        "Network of Service addresses; with an IPv6 one after a comma, Services may have an address of each.",
    )
    service_node_port_range: str = _setting(values.port_range, "30000-32767", "Ports for NodePort Services.")
    dns_domain: str = _setting(values.domain, "cluster.local", "DNS domain of the cluster.")
    dns_address: str | None = _setting(
        values.address, None, "Address of the DNS Service; none: the tenth of kdist_service_cidr."
    )
    upstream_dns: tuple[str, ...] = _setting(
        values.texts, (), "Resolvers for names outside the cluster; empty: those of the hosts."
    )
    addons: tuple[str, ...] = _setting(
        values.addons, values.KNOWN_ADDONS, "Parts installed as workloads of the cluster."
    )
    certificate_lifetime: int = _setting(
        values.duration(timedelta(minutes=2)),
        365 * 86400,
        "How long certificates serve, such as 365d or 90m; site.yml renews in the last quarter (90 days at most).",
    )
    authority_lifetime: int = _setting(
        values.duration(timedelta(hours=1)), 3650 * 86400, "How long authorities that kdist makes serve."
    )
    authorities: Mapping[str, Mapping[str, str]] | None = _setting(
        values.authorities,
        None,
        "Authorities of your own: ca, etcd-ca, front-proxy-ca to the files certificate and key; none: kdist's.",
    )
    encrypted_resources: tuple[str, ...] = _setting(
        values.resources,
        ("secrets",),
        "Resources that API servers encrypt in etcd, such as secrets or configmaps; empty: none.",
    )
    join_token: str | None = _setting(
        values.token,
        None,
        "A bootstrap token by which workers join that may not read control-plane hosts; none: site.yml makes one.",
    )
    join_ca_hash: str | None = _setting(
        values.authority_hash,
        None,
        "With kdist_join_token: the hash of the cluster's authority, as `kdist token create` prints it.",
    )
    etcd_quota_mib: int = _setting(
        values.whole(16, 8192), 2048, "MiB that etcd's database may have; at the limit, writes are refused."
    )
    etcd_snapshot_schedule: str = _setting(
        values.calendar,
        "*-*-* 00/6:00:00",
        "When every control plane takes a snapshot, as systemd.time(7) has it; never: not at all.",
    )
    etcd_snapshot_keep: int = _setting(values.whole(1, 1000), 12, "Scheduled snapshots that a host keeps.")
    etcd_snapshot_max_age_days: int = _setting(
        values.whole(0, 3650), 30, "Days after which a snapshot is removed, but for the newest; 0: never."
    )
    etcd_snapshot_directory: str = _setting(
        values.directory,
        "/var/lib/kdist/etcd-snapshots",
        "Where hosts keep snapshots; another disk than etcd's is better.",
    )
    etcd_snapshot_pki: bool = _setting(
        values.truth,
        False,
        "Keep authorities and service-account keys with each snapshot: certificates and tokens outlive a restore.",
    )
    registry_mirrors: Mapping[str, Any] | None = _setting(
        values.registry_mirrors,
        None,
        "Registry to where its images are pulled from instead: URL, url and ca, or a list of these; * is all others.",
    )
    max_pods: int = _setting(values.whole(1, 1000), 110, "Most pods on one node.")
    containerd_restrict_oom_score_adj: bool = _setting(
        values.truth,
        False,
        "For hosts whose kernel does not let containers lower their OOM score (containers as hosts).",
    )
    pod_encapsulation: str = _setting(
        values.choice("auto", "always", "never"),
        "auto",
        "How pods reach other hosts. auto: plain routes on one subnet, VXLAN beyond it; always: VXLAN; never: routes.",
    )
    pod_mtu: int = _setting(
        values.whole(0, 65535), 0, "MTU of new pods in bytes; 0: the hosts' own, less 50 where VXLAN is used."
    )
    component_flags: Mapping[str, list[str]] | None = _setting(
        components.component_flags,
        None,
        "Further flags by component, such as {kube-apiserver: {max-requests-inflight: 800}}; they win over kdist's.",
    )
    log_level: str = _setting(
        values.choice("debug", "info", "warning", "error"), "info", "Log level of every component."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Keys of ``host_vars``, one value a host."""

    node_ip: str | None = _setting(
        values.addresses,
        None,
        "Address of the node; none: ansible_host. In dual stack the IPv4 and, after a comma, the IPv6 address.",
    )
    node_labels: Mapping[str, str] | None = _setting(
        values.labels, None, "Labels the node registers with; none: just the usual ones."
    )
    node_taints: tuple[str, ...] = _setting(
        values.taints, (), "Taints the node registers with, key=value:effect."
    )


def keys(cls: type[Any]) -> list[str]:
    """The keys of a settings class as the inventory spells them."""
    return [PREFIX + known.name for known in dataclasses.fields(cls)]


def rows(cls: type[Any]) -> list[str]:
    """A row of a Markdown table for every key: name, default as the inventory spells it, meaning."""
    return [
        f"| `{PREFIX}{known.name}` | {_spelled(known)} | {known.metadata['help'].replace('|', chr(92) + '|')} |"
        for known in dataclasses.fields(cls)
    ]


def _spelled(known: dataclasses.Field[Any]) -> str:
    default: Any = known.default
    if default is None:
        return ""
    if known.name.endswith("_lifetime"):
        return f"`{timedelta(seconds=default).days}d`"
    return f"`{json.dumps(default if isinstance(default, str | int) else list(default))}`".replace('"', "")
