"""API servers, static pods and who leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.api import meta
from kdist.lifecycle.care.doctor.findings import Severity, Told, check, error, warning
from kdist.lifecycle.care.picture import Picture

Found = Iterator[tuple[Severity, Told]]
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
LEADERS = ("kube-controller-manager", "kube-scheduler")


@check("api-down")
def api_down(picture: Picture) -> Found:
    """No API server at all."""
    if picture.cluster is None:
        yield error(
            "API server",
            "no API server answers",
            picture.cluster_reason,
            "mend what is told of the control planes; running pods go on meanwhile",
        )


@check("manifest-broken")
def manifest_broken(picture: Picture) -> Found:
    """Static pod manifests that cannot be read, by file and line."""
    for host, facts in picture.answering:
        listed = facts["manifests"] if isinstance(facts["manifests"], list) else []
        for manifest in listed:
            if "error" in manifest:
                yield error(
                    host.name,
                    f"{manifest['path']} is not a static pod manifest",
                    manifest["error"],
                    _manifest_mend(host.name, manifest["path"]),
                )


def _manifest_mend(host: str, path: str) -> str:
    if path.rsplit("/", 1)[-1].removesuffix(".yaml") in (*PARTS, "kdist-vip"):
        return f"ansible-playbook site.yml --limit {host} writes it anew"
    return f"on {host}: mend that line, or move the file elsewhere: site.yml did not write it"


@check("manifest-missing")
def manifest_missing(picture: Picture) -> Found:
    """Parts of the control plane that nobody told the agent to run."""
    for host, facts in picture.answering:
        if (
            not host.control_plane
            or not isinstance(facts["manifests"], list)
            or not facts["version"].get("current")
        ):
            continue
        there = {manifest["path"].rsplit("/", 1)[-1].split(".")[0] for manifest in facts["manifests"]}
        for part in PARTS:
            if part not in there:
                yield error(
                    host.name,
                    f"/etc/kubernetes/manifests/{part}.yaml is missing",
                    f"{part} does not run there",
                    f"ansible-playbook site.yml --limit {host.name}",
                )


@check("static-pod-down")
def static_pod_down(picture: Picture) -> Found:
    """Parts whose container has ended, with what it said last."""
    for host, facts in picture.answering:
        listed = facts.get("containers")
        if not host.control_plane or not isinstance(listed, list):
            continue
        by_name = {container["name"]: container for container in listed}
        for part in PARTS:
            found = by_name.get(part)
            if found is None or found["running"]:
                continue
            said = found.get("log", "").strip().splitlines()
            cause = f"attempt {found['attempt']} ended" + (f"; it said: {said[-1]}" if said else "")
            yield error(
                host.name,
                f"{part} does not run",
                cause,
                f"on {host.name}: tail /var/log/pods/kube-system_{part}-{host.name}_*/{part}/*.log",
            )


@check("api-not-ready")
def api_not_ready(picture: Picture) -> Found:
    """API servers that answer and are not ready, or do not answer on a host that does."""
    for host, facts in picture.answering:
        if not host.control_plane or not facts["version"].get("current"):
            continue
        api: Mapping[str, Any] = facts["api"]
        if "error" in api:
            yield error(
                host.name,
                "its API server does not answer",
                api["error"],
                f"on {host.name}: tail /var/log/pods/kube-system_kube-apiserver-{host.name}_*/kube-apiserver/*.log",
            )
        elif (ready := str(api.get("readyz", "")).strip()) != "ok":
            failing = [line for line in ready.splitlines() if line.startswith("[-]")]
            yield error(
                host.name,
                "its API server is not ready",
                "; ".join(failing) or ready[:200],
                f"on {host.name}: tail /var/log/pods/kube-system_kube-apiserver-{host.name}_*/kube-apiserver/*.log",
            )


@check("no-leader")
def no_leader(picture: Picture) -> Found:
    """Leases that nobody renews: controllers or scheduler stand still."""
    if picture.cluster is None:
        return
    for name in LEADERS:
        lease = picture.cluster["leases"].get(name)
        if not lease or not lease.get("renewTime"):
            yield error(name, "nobody leads", "its Lease was never held", f"see {name} on the control planes")
            continue
        age = picture.now - meta.parse_time(lease["renewTime"]).timestamp()
        if age > 2 * lease.get("leaseDurationSeconds", 15):
            yield error(
                name,
                "nobody leads",
                f"{lease.get('holderIdentity') or 'nobody'} renewed the Lease {age:.0f} s ago",
                f"kubectl -n kube-system logs {name}-HOST, or its log under /var/log/pods",
            )


@check("server-skew")
def server_skew(picture: Picture) -> Found:
    """API servers of different versions."""
    if picture.cluster is None:
        return
    versions = {
        name: told["version"] for name, told in picture.cluster["servers"].items() if "version" in told
    }
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield warning("API server", "servers run different versions", told, "kdist upgrade status")
