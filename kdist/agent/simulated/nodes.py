"""Runs simulated nodes against an API server: one watch and one queue serve them all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from kdist.agent.simulated import objects
from kdist.agent.simulated.objects import SimulatedNode
from kdist.api import meta
from kdist.api import pods as api_pods
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import LEASES, NODES, PODS
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client, Unreachable
from kdist.client.workers import run_workers
from kdist.client.workqueue import WorkQueue
from kdist.telemetry import log

_log = log.get(__name__)

_RENEW_SECONDS = 10.0
_RETRY_SECONDS = 1.0
_WORKERS = 8
_BY_NODE = "node"


class SimulatedNodes:
    """Simulated nodes ``sim-1`` to ``sim-N``; ``run`` ends only by cancellation."""

    def __init__(self, client: Client, count: int, *, api_level: str) -> None:
        self._client = client
        self._api_level = api_level
        self._nodes = {node.name: node for node in map(SimulatedNode, range(count))}
        self._pods = Informer(client, PODS, indexers={_BY_NODE: _node_of})
        self._queue = WorkQueue("simulated-pods")
        # Addresses that were given out and may not have come back by the watch yet, by pod uid.
        self._given: dict[str, str] = {}

    async def run(self) -> None:
        """Register the nodes, keep them alive and run what is bound to them."""
        self._pods.add_handler(self._changed)
        async with asyncio.TaskGroup() as group:
            for node in self._nodes.values():
                group.create_task(self._live(node), name=f"node {node.name}")
            group.create_task(self._pods.run(), name="pods")
            await self._pods.wait_synced()
            pods = run_workers(self._queue, self._reconcile, workers=_WORKERS, name="simulated pods")
            group.create_task(pods, name="simulated pods")

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old or {}
        if new is None:
            self._given.pop(meta.uid(pod), None)
        elif meta.get(pod, "spec.nodeName") in self._nodes:
            self._queue.add(meta.key(pod))

    # Nodes.

    async def _live(self, node: SimulatedNode) -> None:
        """Register, then renew the Lease for ever."""
        registered = False
        while True:
            registered = registered or await self._attempt(self._register(node), node)
            alive = registered and await self._attempt(self._renew(node), node)
            await asyncio.sleep(_RENEW_SECONDS if alive else _RETRY_SECONDS)

    async def _attempt(self, step: Coroutine[Any, Any, None], node: SimulatedNode) -> bool:
        try:
            await step
        except (ApiError, Unreachable) as error:
            _log.warning("simulated node has no answer from the API", node=node.name, reason=error)
            return False
        return True

    async def _register(self, node: SimulatedNode) -> None:
        try:
            await self._client.create(NODES, objects.node(node, self._api_level))
        except AlreadyExists:
            status = objects.node_status(node, self._api_level, meta.now())
            await self._client.patch(NODES, node.name, {"status": status}, subresource="status")

    async def _renew(self, node: SimulatedNode) -> None:
        lease = objects.lease(node.name)
        try:
            await self._client.patch(LEASES, node.name, {"spec": lease["spec"]}, objects.LEASE_NAMESPACE)
        except NotFound:
            await self._client.create(LEASES, lease)

    # Pods.

    async def _reconcile(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or (api_pods.is_terminal(pod) and not meta.is_deleting(pod)):
            return
        node = self._nodes[pod["spec"]["nodeName"]]
        namespace, name = meta.split_key(key)
        try:
            if meta.is_deleting(pod):
                await self._stop(pod)
                return
            status = objects.pod_status(pod, self._address(pod, node), node.address, meta.now())
            if status != pod.get("status"):
                body = {"metadata": {"uid": meta.uid(pod)}, "status": status}
                await self._client.patch(PODS, name, body, namespace, subresource="status")
        except (NotFound, Conflict):
            return  # gone, or another pod of that name by now: the watch tells

    async def _stop(self, pod: Obj) -> None:
        namespace, name, uid = meta.namespace(pod), meta.name(pod), meta.uid(pod)
        if not api_pods.is_terminal(pod):
            body = {"metadata": {"uid": uid}, "status": objects.stopped_status(pod, meta.now())}
            await self._client.patch(PODS, name, body, namespace, subresource="status")
        await self._client.delete(PODS, name, namespace, grace_seconds=0, uid=uid)

    def _address(self, pod: Obj, node: SimulatedNode) -> str:
        if (pod.get("spec") or {}).get("hostNetwork"):
            return node.address
        uid = meta.uid(pod)
        known = meta.get(pod, "status.podIP") or self._given.get(uid)
        if known is None:
            there = self._pods.by_index(_BY_NODE, node.name)
            taken = [meta.get(p, "status.podIP", "") for p in there if not api_pods.is_terminal(p)]
            known = objects.free_address(node.pod_range, [*taken, *self._given.values()])
        self._given[uid] = known
        return str(known)


def _node_of(pod: Obj) -> Sequence[str]:
    name = meta.get(pod, "spec.nodeName")
    return [name] if name else []
