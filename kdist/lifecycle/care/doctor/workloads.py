"""Nodes, pods and the parts that run as workloads, as the API tells of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.api import meta
from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Picture

Found = Iterator[tuple[Severity, Told]]
STUCK_SECONDS = 300
# A removed node that has asked within this is on: API servers note it every five minutes.
ASKS_SECONDS = 900
# Told one by one up to here, then as a number: a screen has an end.
MOST = 20
_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


def _nodes(picture: Picture) -> list[Mapping[str, Any]]:
    return list(picture.cluster["nodes"]) if picture.cluster else []


def _unwell(picture: Picture) -> list[Mapping[str, Any]]:
    return list(picture.cluster["pods"]["unwell"]) if picture.cluster else []


@check("node-not-ready")
def not_ready(picture: Picture) -> Found:
    """Nodes that are not Ready, unless their host does not even answer."""
    silent = {host.name for host in picture.hosts if host.facts is None}
    for node in _nodes(picture):
        if not node["ready"] and node["name"] not in silent:
            yield error(
                f"node {node['name']}",
                "is not Ready",
                f"{node['reason']}: {node['message']}",
                f"on {node['name']}: systemctl status kdist-agent containerd; journalctl -u kdist-agent",
            )


@check("node-removed")
def removed(picture: Picture) -> Found:
    """Nodes that were removed whose hosts are switched on, or still in the inventory."""
    hosts = {host.name for host in picture.hosts}
    for one in (picture.cluster or {}).get("removed", ()):
        name, cause = one["node"], f"it was removed at {one['moment']}, and its certificate is refused since"
        back = f"ansible-playbook site.yml --limit {name}"
        if _within(one["asked"], picture.now, ASKS_SECONDS):
            clean = f"bring it back: {back}; or clean it: kdist reset --limit {name}; or switch it off"
            yield warning(
                name, "was removed and is on: it asks to come in", f"{cause}, last at {one['asked']}", clean
            )
        elif name in hosts:
            either = f"take it out of the inventory, or bring it back: {back}"
            yield warning(name, "was removed and is still in the inventory", cause, either)


def _within(moment: str, now: float, seconds: float) -> bool:
    return bool(moment) and now - meta.parse_time(moment).timestamp() < seconds


@check("node-missing")
def missing(picture: Picture) -> Found:
    """Hosts with a release that have not registered, nodes that are in no inventory."""
    if picture.cluster is None:
        return
    named = {node["name"] for node in _nodes(picture)}
    removed = {one["node"] for one in picture.cluster.get("removed", ())}
    for host, facts in picture.answering:
        if host.name not in named | removed and facts["version"].get("current"):
            yield error(
                host.name,
                "has not registered as a node",
                "its agent has not reached an API server",
                f"on {host.name}: journalctl -u kdist-agent",
            )
    for name in sorted(named - {host.name for host in picture.hosts}):
        yield warning(
            f"node {name}",
            "is in no inventory",
            "its host was taken out of the inventory, or of another inventory",
            f"kubectl delete node {name}, or add the host to the inventory",
        )


@check("node-pressure")
def pressure(picture: Picture) -> Found:
    """Nodes short of something."""
    for node in _nodes(picture):
        for condition in node["pressure"]:
            yield warning(
                f"node {node['name']}",
                condition,
                "pods may be evicted there",
                f"kubectl describe node {node['name']}",
            )


@check("node-cordoned")
def cordoned(picture: Picture) -> Found:
    """Nodes that take no pods, with who made it so where that is known."""
    running = [name for name, found in picture.locks.items() if found]
    for node in _nodes(picture):
        if not node["unschedulable"] or running:
            continue
        by = ", ".join(f"{key}={value}" for key, value in sorted(node["annotations"].items()))
        yield warning(
            f"node {node['name']}",
            "is cordoned: it takes no pods",
            f"left by an operation ({by})" if by else "somebody did so, and no operation is running",
            f"kubectl uncordon {node['name']}",
        )


@check("workload-unavailable")
def unavailable(picture: Picture) -> Found:
    """Deployments and DaemonSets of kube-system with too few pods."""
    for item in picture.cluster["workloads"] if picture.cluster else []:
        if item["available"] < item["wanted"]:
            yield error(
                f"{item['kind']} kube-system/{item['name']}",
                f"{item['available']} of {item['wanted']} pods are available",
                "see its pods",
                f"kubectl -n kube-system describe {item['kind'].lower()} {item['name']}",
            )


@check("dns-silent")
def dns_silent(picture: Picture) -> Found:
    """The cluster's DNS Service, asked from each host."""
    for host, facts in picture.answering:
        told = facts.get("dns")
        if told and "error" in told:
            yield error(
                host.name,
                "cluster DNS does not answer there",
                str(told["error"]),
                "kubectl -n kube-system get pods,endpointslices -l k8s-app=kube-dns -o wide",
            )


@check("pod-missing-image")
def missing_image(picture: Picture) -> Found:
    """Pods that wait for an image."""
    found = [
        (pod, waiting)
        for pod in _unwell(picture)
        for waiting in pod["waiting"]
        if waiting.get("reason") in _IMAGE_REASONS
    ]
    for pod, waiting in found[:MOST]:
        yield error(
            f"pod {pod['name']}",
            f"an image is missing on {pod['node']}",
            f"{waiting['container']}: {waiting.get('message') or waiting['reason']}",
            "put the image into the bundle or a registry that the host reaches; its name may be misspelt",
        )
    yield from _rest("pods", "wait for images", len(found))


@check("pod-pending")
def pending(picture: Picture) -> Found:
    """Pods that nobody could place."""
    found = [pod for pod in _unwell(picture) if pod["unschedulable"]]
    for pod in found[:MOST]:
        yield warning(
            f"pod {pod['name']}", "is pending", pod["unschedulable"], f"kubectl describe pod {_flags(pod)}"
        )
    yield from _rest("pods", "are pending", len(found))


@check("pod-failing")
def failing(picture: Picture) -> Found:
    """Pods that are placed and not Ready, for another reason than an image."""
    found = [
        pod
        for pod in _unwell(picture)
        if pod["node"]
        and not pod["deleting"]
        and not any(waiting.get("reason") in _IMAGE_REASONS for waiting in pod["waiting"])
    ]
    for pod in found[:MOST]:
        waiting = "; ".join(
            f"{w['container']}: {w.get('reason')} {w.get('message', '')}".strip() for w in pod["waiting"]
        )
        cause = (
            waiting
            or " ".join(part for part in (pod["reason"], pod["message"]) if part)
            or "no container says why"
        )
        seen = f"is {pod['phase']} and not Ready on {pod['node']} after {pod['restarts']} restarts"
        yield warning(f"pod {pod['name']}", seen, cause, f"kubectl logs --previous {_flags(pod)}")
    yield from _rest("pods", "are not Ready", len(found))


def _flags(pod: Mapping[str, Any]) -> str:
    namespace, name = meta.split_key(pod["name"])
    return f"-n {namespace} {name}"


def _rest(what: str, seen: str, count: int) -> Found:
    if count > MOST:
        yield warning(what, f"{count - MOST} more {seen}", "the first ones are listed", "kubectl get pods -A")


@check("stuck-deletion")
def stuck(picture: Picture) -> Found:
    """Objects that are being deleted for too long, with what holds them."""
    if picture.cluster is None:
        return
    for item in picture.cluster["terminating"]:
        age = picture.now - meta.parse_time(item["since"]).timestamp()
        if age < STUCK_SECONDS:
            continue
        held = "; ".join(item["messages"]) or f"finalizers {', '.join(item['finalizers'])}"
        yield warning(
            f"{item['kind']} {item['name']}",
            f"has been terminating for {age / 60:.0f} minutes",
            held,
            "mend or remove what owns the finalizer; only then take it out by kubectl edit",
        )
    for pod in _unwell(picture):
        if pod["deleting"] and pod["age"] > STUCK_SECONDS:
            held = (
                f"finalizers {', '.join(pod['finalizers'])}"
                if pod["finalizers"]
                else f"node {pod['node']} does not end it"
            )
            yield warning(
                f"pod {pod['name']}",
                f"has been terminating for {pod['age'] / 60:.0f} minutes",
                held,
                f"when its host is gone for ever: kubectl delete node {pod['node']}",
            )
