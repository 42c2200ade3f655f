"""The state of a cluster as one document: what ``kdist status`` shows and ``--output json`` prints. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kdist.lifecycle.care.doctor.findings import Finding, Severity
from kdist.lifecycle.care.picture import Host, Picture
from kdist.lifecycle.operation.journal import Journal, State

DAY = 86400
PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def report(picture: Picture, findings: list[Finding]) -> dict[str, Any]:
    """``hosts``, ``control_plane``, ``etcd``, ``certificates``, ``addons``, ``pods``, ``operations``, ``problems``."""
    nodes = {node["name"]: node for node in (picture.cluster or {}).get("nodes", ())}
    removed = {one["node"] for one in (picture.cluster or {}).get("removed", ())}
    return {
        "healthy": not any(finding.severity == Severity.ERROR for finding in findings),
        "api": picture.cluster is not None,
        "api_reason": picture.cluster_reason,
        "hosts": [_host(host, nodes.get(host.name), host.name in removed) for host in picture.hosts],
        "control_plane": [_control_plane(host, picture) for host in picture.control_planes],
        "etcd": [_member(host) for host in picture.control_planes],
        "certificates": [_certificate(host, picture.now) for host in picture.hosts if host.facts],
        "addons": list((picture.cluster or {}).get("workloads", ())),
        "pods": dict((picture.cluster or {}).get("pods", {}).get("counts", {})),
        "operations": _operations(picture),
        "problems": [dataclasses.asdict(finding) for finding in findings],
    }


def _host(host: Host, node: Mapping[str, Any] | None, removed: bool) -> dict[str, Any]:
    facts = host.facts or {}
    system = facts.get("system") or {}
    disk = (facts.get("disks") or {}).get("/") or {}
    state = "unknown"
    if node:
        state = "Ready" if node["ready"] else f"NotReady ({node['reason']})"
        state += ", cordoned" if node["unschedulable"] else ""
    elif host.facts is not None or removed:
        state = "removed" if removed else "not registered"
    return {
        "name": host.name,
        "address": host.address,
        "role": "control plane" if host.control_plane else "worker",
        "reachable": host.facts is not None,
        "node": state,
        "release": (facts.get("version") or {}).get("current", ""),
        "agent": ((facts.get("units") or {}).get("kdist-agent.service") or {}).get("ActiveState", ""),
        "runtime": node["runtime"] if node else "",
        "os": system.get("os", ""),
        "memory_available": system.get("memory_available"),
        "memory_total": system.get("memory_total"),
        "disk_free": disk.get("free"),
        "disk_size": disk.get("size"),
    }


def _control_plane(host: Host, picture: Picture) -> dict[str, Any]:
    facts = host.facts or {}
    running = {c["name"]: c for c in facts.get("containers") or () if isinstance(c, Mapping)}
    leases = (picture.cluster or {}).get("leases", {})
    found: dict[str, Any] = {"host": host.name, "version": ""}
    server = (picture.cluster or {}).get("servers", {}).get(host.name) or {}
    found["version"] = server.get("version", "")
    for part in PARTS:
        one = running.get(part)
        state = (
            "unknown"
            if host.facts is None
            else "missing"
            if one is None
            else "running"
            if one["running"]
            else "ended"
        )
        if part == "kube-apiserver" and state == "running":
            state = "ready" if (facts["api"].get("readyz") or "").strip() == "ok" else "not ready"
        holder = (leases.get(part) or {}).get("holderIdentity") or ""
        found[part] = {
            "state": state,
            "restarts": one["attempt"] if one else None,
            "leads": holder.split("_")[0] == host.name,
        }
    return found


def _member(host: Host) -> dict[str, Any]:
    etcd = (host.facts or {}).get("etcd") or {}
    answer = etcd.get("status")
    found: dict[str, Any] = {"host": host.name, "state": "unknown"}
    if host.facts is not None:
        reason = answer.get("error", "") if isinstance(answer, Mapping) else ""
        found |= {"state": "down" if etcd.get("data") else "no data", "reason": reason}
    if isinstance(answer, list):
        status = answer[0]["Status"]
        own = status["header"]["member_id"]
        found |= {
            "state": "learner"
            if status.get("isLearner")
            else "leader"
            if status.get("leader") == own
            else "follower",
            "id": f"{own:x}",
            "version": status["version"],
            "revision": status["header"].get("revision"),
            "term": status.get("raftTerm"),
            "size": status.get("dbSize"),
            "fsync_p99": etcd.get("fsync_p99"),
        }
    snapshots = (host.facts or {}).get("snapshots") or {}
    return found | {"snapshots": snapshots.get("count"), "newest_snapshot": snapshots.get("newest")}


def _certificate(host: Host, now: float) -> dict[str, Any]:
    listed = (host.facts or {}).get("certificates")
    ends = [(c["ends"], c["name"]) for c in listed or () if isinstance(c, Mapping) and "ends" in c]
    authorities = [end for end in ends if "ca" in end[1].rsplit("/", 1)[-1].split(".")[0].split("-")]
    leaves = [end for end in ends if end not in authorities]
    return {
        "host": host.name,
        "count": len(ends),
        "first": _left(leaves, now),
        "first_authority": _left(authorities, now),
    }


def _left(ends: list[tuple[float, str]], now: float) -> dict[str, Any] | None:
    if not ends:
        return None
    end, name = min(ends)
    return {"name": name, "days": int((end - now) // DAY)}


def _operations(picture: Picture) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for host, lock in picture.locks.items():
        if lock:
            found.append({"kind": "lock", "host": host, "holder": lock[0].told(lock[1])})
    for name, journal in picture.journals.items():
        if isinstance(journal, Journal) and journal.open:
            done = sum(entry.state == State.DONE for entry in journal.entries)
            found.append(
                {
                    "kind": "journal",
                    "operation": name,
                    "state": journal.state.value,
                    "done": done,
                    "of": len(journal.entries),
                }
            )
    return found
