"""The cluster's own objects: applied as a role declares them, and waited for with reasons.

Used on a control-plane host by the modules ``kdist_objects`` and ``kdist_ready``. Objects are applied server
side under one field manager, so that fields others own stay theirs, and a second run changes nothing. Workloads that
run already are changed one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from kdist.api import kinds
from kdist.api.errors import ApiError, NotFound
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.workloads import ROLLING, missing, until_whole

FIELD_MANAGER = "kdist-lifecycle"
_POLL_SECONDS = 0.3
Obj = dict[str, Any]


class Failed(Exception):
    """The cluster did not take or did not reach what was asked; the text says what and why."""


def parse(manifests: Iterable[str]) -> list[Obj]:
    """Every document of every manifest, in order."""
    return [doc for text in manifests for doc in yaml.safe_load_all(text) if doc]


def _where(obj: Obj) -> str:
    meta = obj["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj['kind']} {place}{meta['name']}"


class _Paths:
    """Paths of objects, from the server's own discovery."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, Any]] = {}

    async def of(self, obj: Obj) -> str:
        version = obj["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._known:
            listed = await self._client.request("GET", base)
            served = (r for r in listed["resources"] if "/" not in r["name"])
            self._known[version] = {resource["kind"]: resource for resource in served}
        resource = self._known[version].get(obj["kind"])
        if resource is None:
            raise Failed(f"{_where(obj)}: the API server does not know kind {obj['kind']} in {version}")
        meta = obj["metadata"]
        scope = f"/namespaces/{meta.get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"{base}{scope}/{resource['name']}/{meta['name']}"


async def _apply_one(
    client: Client, path: str, obj: Obj, dry_run: bool, deadline: float
) -> tuple[Obj | None, bool]:
    """The object before, and whether it was created or changed."""
    before = await _present(client, path)
    while before is None and obj["kind"] == "Node":  # nodes are not ours to make: their agents register them
        if time.monotonic() > deadline:
            raise Failed(f"{_where(obj)} has not registered (journalctl -u kdist-agent on that host)")
        await asyncio.sleep(_POLL_SECONDS)
        before = await _present(client, path)
    params = {"fieldManager": FIELD_MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
    after = await client.request(
        "PATCH", path, params=params, body=obj, content_type="application/apply-patch+yaml"
    )
    return before, before is None or _content(before) != _content(after)


async def _present(client: Client, path: str) -> Obj | None:
    try:
        found: Obj = await client.request("GET", path)
    except NotFound:
        return None
    return found


def _content(obj: Obj) -> Obj:
    """What counts for "did it change": all but status and bookkeeping."""
    meta = {
        k: v
        for k, v in obj["metadata"].items()
        if k not in ("managedFields", "resourceVersion", "generation")
    }
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")} | {"metadata": meta}


async def apply(kubeconfig: str, manifests: Iterable[str], timeout: float, dry_run: bool) -> list[str]:
    """Apply every document; the objects that were created or changed. Raises :class:`Failed`."""
    return await apply_objects(kubeconfig, parse(manifests), timeout, dry_run)


async def apply_objects(kubeconfig: str, objects: Iterable[Obj], timeout: float, dry_run: bool) -> list[str]:
    """See :func:`apply`."""
    async with Client.from_kubeconfig(Path(kubeconfig), user_agent=FIELD_MANAGER) as client:
        deadline = time.monotonic() + timeout
        await _wait_for_server(client, deadline)
        paths, changed = _Paths(client), []
        for obj in objects:
            try:
                before, differs = await _apply_one(client, await paths.of(obj), obj, dry_run, deadline)
            except ApiError as error:
                raise Failed(f"{_where(obj)}: {error}") from error
            if differs:
                changed.append(_where(obj))
            if differs and before and not dry_run:
                await _rolled_out(client, before, timeout)
        return changed


async def _rolled_out(client: Client, before: Obj, timeout: float) -> None:
    """Wait for a workload that was whole before it was changed; the next may be changed then.

    One that was not whole is not waited for: what mends it may be the next object.
    """
    kind = ROLLING.get(before["kind"])
    if kind is None or missing(before) is not None:
        return
    meta = before["metadata"]
    if (why := await until_whole(client, kind, meta["name"], meta["namespace"], timeout)) is not None:
        reasons = [
            f"{_where(before)}: {why}, {timeout:.0f} s after it was changed",
            *unready((await client.list(kinds.NODES)).items),
            *await _pod_reasons(client),
        ]
        raise Failed("\n".join(reasons))


async def _wait_for_server(client: Client, deadline: float) -> None:
    while True:
        try:
            await client.request("GET", "/readyz")
            return
        except (ApiError, Unreachable) as error:
            if time.monotonic() > deadline:
                raise Failed(f"the API server is not ready: {error}") from error
        await asyncio.sleep(_POLL_SECONDS)


def _condition(obj: Obj, kind: str) -> Obj:
    conditions = obj.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), {})


def unready(nodes: Iterable[Obj], names: Iterable[str] | None = None) -> list[str]:
    """Why nodes are not Ready; ``names`` must be among them, None stands for those that are. Pure."""
    found = {node["metadata"]["name"]: node for node in nodes}
    reasons = []
    for name in found if names is None else names:
        if name not in found:
            reasons.append(f"node {name} has not registered (journalctl -u kdist-agent on that host)")
        elif (ready := _condition(found[name], "Ready")).get("status") != "True":
            reasons.append(f"node {name} is not Ready: {ready.get('message') or 'no status yet'}")
    return reasons


async def _unavailable_workloads(client: Client) -> list[str]:
    reasons = []
    for kind in ROLLING.values():
        for item in (await client.list(kind, "kube-system")).items:
            if (why := missing(item)) is not None:
                reasons.append(f"{_where(item)}: {why}")
    return reasons + (await _pod_reasons(client) if reasons else [])


async def _pod_reasons(client: Client) -> list[str]:
    reasons = []
    for pod in (await client.list(kinds.PODS, "kube-system")).items:
        if _condition(pod, "Ready").get("status") == "True":
            continue
        states = [s.get("state", {}) for s in pod.get("status", {}).get("containerStatuses") or []]
        waiting = [s["waiting"] for s in states if "waiting" in s]
        why = "; ".join(f"{w.get('reason')} {w.get('message', '')}".strip() for w in waiting)
        scheduled = _condition(pod, "PodScheduled")
        why = why or scheduled.get("message") or pod.get("status", {}).get("phase", "no status")
        reasons.append(f"  pod {pod['metadata']['name']} on {pod['spec'].get('nodeName', 'no node')}: {why}")
    return reasons


async def wait_ready(kubeconfig: str, nodes: Iterable[str], workloads: bool, timeout: float) -> float:
    """Wait for server, nodes and, if asked, the workloads of kube-system; seconds waited.

    Raises :class:`Failed` with every reason when ``timeout`` seconds have passed.
    """
    started = time.monotonic()
    deadline = started + timeout
    async with Client.from_kubeconfig(Path(kubeconfig), user_agent=FIELD_MANAGER) as client:
        await _wait_for_server(client, deadline)
        while True:
            try:
                reasons = unready((await client.list(kinds.NODES)).items, nodes)
                reasons += await _unavailable_workloads(client) if workloads else []
            except (ApiError, Unreachable) as error:
                reasons = [f"the API server does not answer: {error}"]
            if not reasons:
                return round(time.monotonic() - started, 1)
            if time.monotonic() > deadline:
                raise Failed(f"not ready after {timeout:.0f} s:\n" + "\n".join(reasons))
            await asyncio.sleep(_POLL_SECONDS)
