"""What must hold before an upgrade begins and after each of its steps. Pure: observations in, reasons out.

No reason means that the gate is open. A reason names host or object, what is wrong, and where it helps the next step.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.api.pods import is_ready
from kdist.lifecycle.upgrade.drain import CORDONED, lost
from kdist.lifecycle.upgrade.plan import HostNow, Target
from kdist.lifecycle.versions import reported
from kdist.lifecycle.workloads import missing

CONTROL_PLANE_PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
CERTIFICATE_DAYS = 1
MIB = 1 << 20
# Staged release and images, and as much again for etcd's and the journal's growth meanwhile.
DISK_FREE = 1200 * MIB


@dataclass(frozen=True, slots=True)
class HostView:
    """A host as its own files tell. ``error``: it could not be asked."""

    name: str
    control_plane: bool
    error: str = ""
    release: str = ""
    releases: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    disk_free: int = 0
    certificates: Mapping[str, datetime.datetime] = field(default_factory=dict)
    """Path to the moment at which each ends."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """One etcd member; ``error`` is empty when it is healthy."""

    name: str
    learner: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as its API tells. ``servers``: control plane to what it answered, an error begins with ``!``."""

    nodes: Mapping[str, Obj]
    servers: Mapping[str, str]
    system_pods: Sequence[Obj] = ()
    workloads: Sequence[Obj] = ()
    members: Sequence[MemberView] = ()
    etcd_error: str = ""


def now(host: HostView, view: ClusterView) -> HostNow:
    """What a host runs, for a plan."""
    node = view.nodes.get(host.name, {})
    told = reported(node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", ""))
    server = reported(view.servers.get(host.name, "")) if host.control_plane else None
    return HostNow(
        host.name,
        host.control_plane,
        host.release,
        Target(told[1], told[0]) if told else None,
        Target(server[1], server[0]) if server else None,
    )


def before(hosts: Iterable[HostView], view: ClusterView, *, at: datetime.datetime, vip: bool) -> list[str]:
    """Why no upgrade may begin: everything at once."""
    reasons, planes = [], []
    for host in hosts:
        if host.error:
            reasons.append(f"{host.name}: {host.error}")
            continue
        reasons += _host_health(host, at)
        reasons += node_reasons(view, host.name)
        if host.control_plane:
            planes.append(host.name)
            reasons += server_reasons(view, host.name)
            reasons += static_pod_reasons(view, host.name, None, vip=vip)
    reasons += member_reasons(view, planes)
    return reasons + [
        f"{name} is not whole: {why}" for name, why in broken(view.workloads, "kube-system").items()
    ]


def _host_health(host: HostView, at: datetime.datetime) -> list[str]:
    reasons = []
    if not host.release:
        reasons.append(f"{host.name}: has no kdist yet; install it with site.yml first")
    if host.disk_free < DISK_FREE:
        reasons.append(
            f"{host.name}: has {host.disk_free // MIB} MiB free under /var/lib; an upgrade needs {DISK_FREE // MIB}"
        )
    soon = at + datetime.timedelta(days=CERTIFICATE_DAYS)
    for path, end in host.certificates.items():
        if end < soon:
            state = "expired" if end < at else "expires"
            reasons.append(
                f"{host.name}: /etc/kubernetes/{path} {state} on {end:%Y-%m-%d %H:%M} UTC: renew it first"
            )
    return reasons


def node_reasons(view: ClusterView, name: str, target: Target | None = None) -> list[str]:
    """Is the node Ready, and its agent that of the target?"""
    node = view.nodes.get(name)
    if node is None:
        return [f"{name}: there is no such node (journalctl -u kdist-agent there)"]
    if (why := lost(node)) is not None:
        return [f"{name}: not Ready: {why}"]
    told = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
    found = reported(told)
    if target and found != (target.api_level, target.version):
        return [f"{name}: its agent reports {told or 'nothing'}, not {target}"]
    return []


def server_reasons(view: ClusterView, name: str, target: Target | None = None) -> list[str]:
    """Does the host's own API server answer, and is it that of the target?"""
    told = view.servers.get(name, "!no connection to the host")
    if told.startswith("!"):
        return [f"{name}: its API server is not ready: {told[1:]} (crictl logs of kube-apiserver there)"]
    if target and reported(told) != (target.api_level, target.version):
        return [f"{name}: its API server is {told}, not {target}"]
    return []


def static_pod_reasons(view: ClusterView, name: str, target: Target | None, *, vip: bool) -> list[str]:
    """Are the host's static pods Ready, and those of kdist from the target's image?"""
    reasons, pods = [], {meta.name(pod): pod for pod in view.system_pods}
    for part in (*CONTROL_PLANE_PARTS, *(["kdist-vip"] if vip else [])):
        pod = pods.get(f"{part}-{name}")
        if pod is None:
            reasons.append(f"{name}: static pod {part} has not been reported by its agent")
        elif not is_ready(pod):
            reasons.append(f"{name}: static pod {part} is not Ready{_waiting(pod)}")
        elif target and part != "etcd":
            image = pod["spec"]["containers"][0]["image"]
            if not image.endswith(f":{target.version}"):
                reasons.append(f"{name}: static pod {part} runs {image}, not version {target.version}")
    return reasons


def _waiting(pod: Obj) -> str:
    for status in pod.get("status", {}).get("containerStatuses") or []:
        state = status.get("state", {})
        if waiting := state.get("waiting"):
            return f": {waiting.get('reason', '')} {waiting.get('message', '')}".rstrip()
        if ended := state.get("terminated"):
            return f": ended with {ended.get('exitCode')} {ended.get('reason', '')}".rstrip()
    return ""


def member_reasons(view: ClusterView, planes: Sequence[str]) -> list[str]:
    """Is every control plane a healthy, voting member of etcd?"""
    if view.etcd_error:
        return [f"etcd cannot be asked: {view.etcd_error}"]
    found, reasons = {member.name: member for member in view.members}, []
    for name in planes:
        member = found.get(name)
        if member is None:
            reasons.append(f"{name}: is no member of etcd")
        elif member.learner:
            reasons.append(f"{name}: its etcd member has no vote yet")
        elif member.error:
            reasons.append(f"{name}: its etcd member is not healthy: {member.error}")
    strangers = sorted(set(found) - set(planes))
    return reasons + [f"etcd has a member {name!r} that is no host of the inventory" for name in strangers]


def host_open(
    view: ClusterView, host: HostView, target: Target, planes: Sequence[str], *, vip: bool
) -> list[str]:
    """The gate of one host that was just changed."""
    reasons = node_reasons(view, host.name, target)
    if host.control_plane:
        reasons += server_reasons(view, host.name, target)
        reasons += static_pod_reasons(view, host.name, target, vip=vip)
        reasons += member_reasons(view, planes)
    return reasons


def broken(workloads: Iterable[Obj], namespace: str | None = None) -> dict[str, str]:
    """Workloads that lack replicas: ``Kind namespace/name`` to what is missing."""
    found = {}
    for item in workloads:
        if namespace in (None, item["metadata"]["namespace"]) and (why := missing(item)):
            found[f"{item['kind']} {meta.key(item)}"] = why
    return found


def still_missing(view: ClusterView, whole_before: Iterable[str]) -> list[str]:
    """Workloads that were whole before the upgrade and are not now. Those that were deleted meanwhile do not count."""
    lacking = broken(view.workloads)
    return [f"{name}: {lacking[name]}" for name in sorted(set(whole_before) & set(lacking))]


def left_cordoned(view: ClusterView) -> list[str]:
    """Nodes that an upgrade has cordoned and not given back."""
    return sorted(name for name, node in view.nodes.items() if CORDONED in meta.annotations(node))
