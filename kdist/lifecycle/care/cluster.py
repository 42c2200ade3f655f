"""What the API tells about a cluster, cut down to what status and doctor judge: 150,000 pods must not be kept.

One mapping: ``nodes``, ``pods`` (counts, and those that are not well), ``workloads`` and ``leases`` of kube-system,
``terminating`` (objects that wait for a finalizer), ``operations`` (journals in ConfigMaps), ``removed`` (nodes that
were taken out and have not come back), ``servers`` (version of every API server).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from kdist.api import kinds, meta, removednodes
from kdist.api.errors import ApiError
from kdist.api.kinds import Kind
from kdist.api.pods import get_condition, is_ready
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.operation.api import Api

Obj = dict[str, Any]
PAGE = 1000
SYSTEM = "kube-system"
# A pod that is older and still not Ready is told about; starting takes a moment.
YOUNG_SECONDS = 60
_TERMINATING = (
    kinds.NAMESPACES,
    kinds.PERSISTENT_VOLUMES,
    kinds.PERSISTENT_VOLUME_CLAIMS,
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
    ),
)


async def read(api: Api, now: float) -> Obj:
    """Everything. Raises ApiError and Unreachable when the API does not answer."""
    client = api.client
    nodes = [node(item) for item in (await client.list(kinds.NODES)).items]
    return {
        "nodes": nodes,
        "pods": await _pods(client, now),
        "workloads": await _workloads(client),
        "leases": {meta.name(x): x["spec"] for x in (await client.list(kinds.LEASES, SYSTEM)).items},
        "terminating": [found async for found in _terminating(client)],
        "operations": await _operations(client),
        "removed": await _removed(client, {node["name"] for node in nodes}),
        "servers": await _servers(api),
    }


def node(item: Obj) -> Obj:
    """A node's state: Ready with its reason, other conditions that are bad, taints, who cordoned it."""
    conditions = item.get("status", {}).get("conditions", [])
    ready = get_condition(item, "Ready") or {}
    return {
        "name": meta.name(item),
        "ready": ready.get("status") == "True",
        "reason": ready.get("reason", "NoStatus"),
        "message": ready.get("message", "the agent has not written a status yet"),
        "heartbeat": ready.get("lastHeartbeatTime"),
        "pressure": [c["type"] for c in conditions if c["type"] != "Ready" and c["status"] == "True"],
        "unschedulable": bool(item["spec"].get("unschedulable")),
        "annotations": {k: v for k, v in meta.annotations(item).items() if k.startswith("kdist.io/")},
        "roles": sorted(
            label.removeprefix("node-role.kubernetes.io/")
            for label in meta.labels(item)
            if label.startswith("node-role.kubernetes.io/")
        ),
        "version": item.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", ""),
        "runtime": item.get("status", {}).get("nodeInfo", {}).get("containerRuntimeVersion", ""),
    }


async def _pods(client: Client, now: float) -> Obj:
    counts: dict[str, int] = {}
    unwell = []
    async for pod in _pages(client, kinds.PODS):
        phase = pod.get("status", {}).get("phase", "Unknown")
        counts[phase] = counts.get(phase, 0) + 1
        if (found := unwell_pod(pod, now)) is not None:
            unwell.append(found)
    return {"counts": counts, "unwell": unwell}


async def _pages(client: Client, kind: Kind) -> AsyncIterator[Obj]:
    token = ""
    while True:
        params = {"limit": str(PAGE)} | ({"continue": token} if token else {})
        page = await client.request("GET", f"/api/v1/{kind.plural}", params=params)
        for item in page["items"]:
            yield item
        token = page["metadata"].get("continue", "")
        if not token:
            return


def unwell_pod(pod: Obj, now: float) -> Obj | None:
    """What there is to tell about a pod that is not as it should be; None for one that is, or is young."""
    status = pod.get("status", {})
    if status.get("phase") == "Succeeded" or (is_ready(pod) and not meta.is_deleting(pod)):
        return None
    since = pod["metadata"].get("deletionTimestamp") or pod["metadata"]["creationTimestamp"]
    age = now - meta.parse_time(since).timestamp()
    if age < YOUNG_SECONDS:
        return None
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    waiting = [
        {"container": s["name"], **s["state"]["waiting"]} for s in every if "waiting" in s.get("state", {})
    ]
    scheduled = get_condition(pod, "PodScheduled") or {}
    return {
        "name": meta.key(pod),
        "node": pod["spec"].get("nodeName", ""),
        "phase": status.get("phase", "Unknown"),
        "reason": status.get("reason", ""),
        "message": status.get("message", ""),
        "age": age,
        "deleting": meta.is_deleting(pod),
        "finalizers": pod["metadata"].get("finalizers") or [],
        "unschedulable": scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        "waiting": waiting,
        "images": [c["image"] for c in pod["spec"]["containers"]],
        "restarts": sum(s.get("restartCount", 0) for s in every),
    }


async def _workloads(client: Client) -> list[Obj]:
    found = []
    for item in (await client.list(kinds.DEPLOYMENTS, SYSTEM)).items:
        status = item.get("status", {})
        found.append(
            _workload("Deployment", item, item["spec"].get("replicas", 1), status.get("availableReplicas", 0))
        )
    for item in (await client.list(kinds.DAEMON_SETS, SYSTEM)).items:
        status = item.get("status", {})
        wanted = status.get("desiredNumberScheduled", 0)
        found.append(_workload("DaemonSet", item, wanted, status.get("numberAvailable", 0)))
    return found


def _workload(kind: str, item: Obj, wanted: int, available: int) -> Obj:
    template = item["spec"]["template"]
    version = (template["metadata"].get("annotations") or {}).get("kdist.io/version", "")
    return {
        "kind": kind,
        "name": meta.name(item),
        "wanted": wanted,
        "available": available,
        "version": version or template["spec"]["containers"][0]["image"].rpartition(":")[2],
    }


async def _terminating(client: Client) -> AsyncIterator[Obj]:
    for kind in _TERMINATING:
        for item in (await client.list(kind)).items:
            if meta.is_deleting(item):
                conditions = item.get("status", {}).get("conditions") or []
                yield {
                    "kind": kind.kind,
                    "name": meta.key(item),
                    "since": item["metadata"]["deletionTimestamp"],
                    "finalizers": (item["metadata"].get("finalizers") or [])
                    + (item.get("spec", {}).get("finalizers") or []),
                    "messages": [
                        c["message"] for c in conditions if c.get("status") == "True" and c.get("message")
                    ],
                }


async def _operations(client: Client) -> dict[str, Obj]:
    """Journals that operations keep in the cluster, by operation."""
    found = {}
    for item in (await client.list(kinds.CONFIG_MAPS, SYSTEM)).items:
        text = (item.get("data") or {}).get("journal.json")
        if text and meta.name(item).startswith("kdist-"):
            found[meta.name(item).removeprefix("kdist-")] = json.loads(text)
    return found


async def _removed(client: Client, registered: Collection[str]) -> list[Obj]:
    selector = f"type={removednodes.TYPE}"
    secrets = await client.list(kinds.SECRETS, removednodes.NAMESPACE, field_selector=selector)
    found = [removednodes.read(item) for item in secrets.items]
    return [dataclasses.asdict(one) for one in found if one is not None and one.node not in registered]


async def _servers(api: Api) -> dict[str, Obj]:
    async def one(client: Client) -> Obj:
        try:
            answer: Mapping[str, Any] = await client.request("GET", "/version")
        except (ApiError, Unreachable) as error:
            return {"error": str(error)}
        return {"version": answer["gitVersion"]}

    answers = await asyncio.gather(*(one(client) for client in api.servers.values()))
    return dict(zip(api.servers, answers, strict=True))
