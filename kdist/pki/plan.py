"""What must exist under /etc/kubernetes, as data: authorities, leaf certificates, key pairs, kubeconfigs.

Pure: no key is made and no file is read here. :mod:`kdist.pki.issue` makes what a plan names and judges what
is already there. Names, subjects and places are the ones every Kubernetes tool expects.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

KUBERNETES_DIR = PurePosixPath("/etc/kubernetes")
PKI_DIR = KUBERNETES_DIR / "pki"

# Upstream's habit: authorities outlive leaves by far, leaves are renewed at every upgrade or by `site.yml`.
AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
# Certificates are valid from this long before they are issued, because the clocks of hosts differ; upstream's figure.
BACKDATE = timedelta(minutes=5)
# A leaf with less than this left is issued anew by the next run; of a short life, the last quarter.
RENEW_BEFORE = timedelta(days=90)
RENEW_SHARE = 4


@dataclass(frozen=True, slots=True)
class AuthoritySpec:
    """A certificate authority: ``path`` without suffix (``.crt`` and ``.key`` are added)."""

    name: str
    common_name: str
    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """A leaf certificate signed by authority ``authority``; ``path`` without suffix.

    ``hosts`` are DNS names and IP addresses for the subject alternative names. A leaf whose key lives only in
    a kubeconfig has ``kubeconfig`` set to that file and no files of its own. ``combined`` is one file with
    certificate and key, which the node's agent renews by itself: it is issued here only while it serves no more.
    """

    name: str
    authority: str
    common_name: str
    path: PurePosixPath | None
    organizations: tuple[str, ...] = ()
    server: bool = False
    client: bool = True
    hosts: tuple[str, ...] = ()
    kubeconfig: PurePosixPath | None = None
    combined: PurePosixPath | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the certificates need to know of the cluster."""

    name: str
    service_cidr: str
    """The network of Services; in dual stack one of each family with a comma between."""
    dns_domain: str
    api_servers: tuple[str, ...]
    """Addresses of every API server, without scheme or port."""
    api_port: int = 6443
    extra_sans: tuple[str, ...] = ()
    api_vip: str | None = None
    """An address that always leads to a living API server."""
    leaf_seconds: int = int(LEAF_LIFETIME.total_seconds())
    authority_seconds: int = int(AUTHORITY_LIFETIME.total_seconds())

    @property
    def leaf_lifetime(self) -> timedelta:
        """How long a new leaf serves."""
        return timedelta(seconds=self.leaf_seconds)

    @property
    def authority_lifetime(self) -> timedelta:
        """How long a new authority serves."""
        return timedelta(seconds=self.authority_seconds)


def renewal(not_before: datetime, not_after: datetime) -> datetime:
    """From when on a leaf is issued anew."""
    return not_after - min(RENEW_BEFORE, (not_after - not_before) / RENEW_SHARE)


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its node name, its address and whether it carries the control plane."""

    name: str
    address: str
    control_plane: bool
    address6: str = ""
    """In dual stack, the host's other address."""


CLUSTER_CA = AuthoritySpec("ca", "kubernetes", PKI_DIR / "ca")
ETCD_CA = AuthoritySpec("etcd-ca", "etcd-ca", PKI_DIR / "etcd/ca")
FRONT_PROXY_CA = AuthoritySpec("front-proxy-ca", "front-proxy-ca", PKI_DIR / "front-proxy-ca")
AUTHORITIES = (CLUSTER_CA, ETCD_CA, FRONT_PROXY_CA)

ADMINISTRATORS = ("admin", "super-admin")
VIP = "vip"
NODE_CLIENT = "kubelet"
# The agent keeps its certificates here; its kubeconfigs name the file.
NODE_CLIENT_FILE = PurePosixPath("/var/lib/kubelet/pki/kubelet-client-current.pem")
# Seconds since the epoch: the agent renews what was issued before.
NODE_RENEWAL_FILE = PurePosixPath("/var/lib/kubelet/pki/renew-issued-before")
NODE_KUBECONFIG = KUBERNETES_DIR / "kubelet.conf"
BOOTSTRAP_KUBECONFIG = KUBERNETES_DIR / "bootstrap-kubelet.conf"

SERVICE_ACCOUNT_KEY = PKI_DIR / "sa.key"
SERVICE_ACCOUNT_PUBLIC_KEY = PKI_DIR / "sa.pub"


def api_server_hosts(cluster: Cluster, host: Host) -> tuple[str, ...]:
    """Every name and address under which clients may reach the API server of ``host``.

    The first address of the service range is the ``kubernetes`` Service, as upstream allocates it. That of a second
    range is named too, for those who make that Service dual-stack.
    """
    ranges = [ipaddress.ip_network(cidr) for cidr in cluster.service_cidr.split(",")]
    first, *others = (str(network.network_address + 1) for network in ranges)
    names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{cluster.dns_domain}",
        "localhost",
        host.name,
        host.address,
        first,
        "127.0.0.1",
        *([host.address6] if host.address6 else []),
        *others,
        *([cluster.api_vip] if cluster.api_vip else []),
        *cluster.extra_sans,
    ]
    return tuple(dict.fromkeys(names))


def _control_plane_leaves(cluster: Cluster, host: Host) -> list[LeafSpec]:
    etcd_hosts = (host.name, host.address, "localhost", "127.0.0.1")
    return [
        LeafSpec(
            "apiserver",
            "ca",
            "kube-apiserver",
            PKI_DIR / "apiserver",
            server=True,
            client=False,
            hosts=api_server_hosts(cluster, host),
        ),
        LeafSpec(
            "apiserver-kubelet-client",
            "ca",
            "kube-apiserver-kubelet-client",
            PKI_DIR / "apiserver-kubelet-client",
            organizations=("system:masters",),
        ),
        LeafSpec(
            "front-proxy-client", "front-proxy-ca", "front-proxy-client", PKI_DIR / "front-proxy-client"
        ),
        LeafSpec(
            "apiserver-etcd-client",
            "etcd-ca",
            "kube-apiserver-etcd-client",
            PKI_DIR / "apiserver-etcd-client",
        ),
        LeafSpec("etcd-server", "etcd-ca", host.name, PKI_DIR / "etcd/server", server=True, hosts=etcd_hosts),
        LeafSpec("etcd-peer", "etcd-ca", host.name, PKI_DIR / "etcd/peer", server=True, hosts=etcd_hosts),
        LeafSpec(
            "etcd-healthcheck-client",
            "etcd-ca",
            "kube-etcd-healthcheck-client",
            PKI_DIR / "etcd/healthcheck-client",
        ),
        _kubeconfig_leaf("admin", "kubernetes-admin", "kubeadm:cluster-admins"),
        _kubeconfig_leaf("super-admin", "kubernetes-super-admin", "system:masters"),
        _pod_kubeconfig_leaf("controller-manager", "system:kube-controller-manager"),
        _pod_kubeconfig_leaf("scheduler", "system:kube-scheduler"),
        *([_pod_kubeconfig_leaf(VIP, "system:kdist-vip")] if cluster.api_vip else []),
    ]


def _kubeconfig_leaf(name: str, common_name: str, *organizations: str) -> LeafSpec:
    return LeafSpec(
        name,
        "ca",
        common_name,
        None,
        organizations=organizations,
        kubeconfig=KUBERNETES_DIR / f"{name}.conf",
    )


def _pod_kubeconfig_leaf(name: str, common_name: str) -> LeafSpec:
    """One that a static pod reads: in a directory of its own, because a mount of the file alone shows the old one
    for ever after it was replaced."""
    leaf = _kubeconfig_leaf(name, common_name)
    return replace(leaf, kubeconfig=KUBERNETES_DIR / name / f"{name}.conf")


def node_client(host: Host) -> LeafSpec:
    """The client certificate of the agent on ``host``."""
    name, groups = f"system:node:{host.name}", ("system:nodes",)
    return LeafSpec(NODE_CLIENT, "ca", name, None, organizations=groups, combined=NODE_CLIENT_FILE)


def leaves(cluster: Cluster, host: Host) -> tuple[LeafSpec, ...]:
    """Every leaf certificate that is issued to ``host`` through its operator.

    That is nothing for workers: their agents ask the cluster, the first time by a bootstrap token. A control plane
    comes up before there is a cluster to ask, so its agent's first certificate is among these.
    """
    return (node_client(host), *_control_plane_leaves(cluster, host)) if host.control_plane else ()


def servers(cluster: Cluster, host: Host, leaf: LeafSpec | None = None) -> tuple[str, ...]:
    """URLs of the API servers in the order in which the user of kubeconfig ``leaf`` on ``host`` should try them.

    Components try their own host's first. People's files name the virtual address first, because kubectl knows
    only one. The holder of that address knows nothing but its own server, whose health it stands for.
    """
    own = [host.address] if host.control_plane else []
    if leaf is not None and leaf.name == VIP:
        ordered = dict.fromkeys(own)
    elif leaf is not None and leaf.name in ADMINISTRATORS and cluster.api_vip:
        ordered = dict.fromkeys([cluster.api_vip, *own, *cluster.api_servers])
    else:
        ordered = dict.fromkeys(own + list(cluster.api_servers))
    return tuple(f"https://{_bracketed(a)}:{cluster.api_port}" for a in ordered)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def trusted_authorities(host: Host) -> tuple[AuthoritySpec, ...]:
    """Authorities whose certificate ``host`` needs; control planes have them all, with their keys."""
    return AUTHORITIES if host.control_plane else (CLUSTER_CA,)
