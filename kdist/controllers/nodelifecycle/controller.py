"""Judges nodes by their signs of life and taints those that are not fit for pods.

A sign of life is a *change* of the node's Lease or heartbeat, timed by our own clock: hosts' clocks may differ.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import LEASES, NODES, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.nodelifecycle import plan

LEASE_NAMESPACE = "kube-node-lease"
NODE_INDEX = "node"


def by_node(pod: Obj) -> Iterable[str]:
    """Index function: the node a pod is on."""
    return (meta.get(pod, "spec.nodeName", ""),)


class NodeLifecycleController(Controller):
    """One key is one node."""

    name = "node-lifecycle-controller"
    component = "node-controller"

    def setup(self) -> None:
        """Watch nodes, their Leases and pods."""
        s = self.settings
        self._rates = plan.Rates(
            s.node_eviction_rate,
            s.secondary_node_eviction_rate,
            s.unhealthy_zone_threshold,
            s.large_cluster_size_threshold,
        )
        self._limiter = plan.ZoneLimiter()
        self._alive: dict[str, tuple[tuple[str, ...], float]] = {}  # node -> last sign of life and when
        self._pods_marked: set[str] = set()
        self._nodes = self.watch(NODES, self.enqueue)
        self._leases = self.watch(LEASES, namespace=LEASE_NAMESPACE)
        self._pods = self.watch(PODS, indexers={NODE_INDEX: by_node})

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """A look at every node now and then."""
        return (self._monitor(),)

    async def _monitor(self) -> None:
        while True:
            for node in self._nodes.list():
                self.queue.add(meta.name(node))
            await asyncio.sleep(self.settings.node_monitor_period)

    async def reconcile(self, key: str) -> float | None:
        """Bring conditions, taints and pods of the node in line with whether it lives."""
        node = self._nodes.get(key)
        if node is None:
            self._alive.pop(key, None)
            self._pods_marked.discard(key)
            return None
        if self._is_silent(key, node):
            node = await self._silence(node)
        await self._taint(node)
        await self._mark_pods(node)
        return None

    def _is_silent(self, key: str, node: Obj) -> bool:
        now, sign = time.monotonic(), plan.fingerprint(node, self._leases.get(f"{LEASE_NAMESPACE}/{key}"))
        known, when = self._alive.get(key, (None, now))
        if known != sign:
            # Our own writing of Unknown changes the fingerprint too, but is no sign of life.
            own = known is not None and plan.ready_status(node) == "Unknown" and known[2] == sign[2]
            when = when if own else now
            self._alive[key] = (sign, when)
        grace = self.settings.node_monitor_grace_period
        if pods.get_condition(node, "Ready") is None:
            grace = self.settings.node_startup_grace_period
        return now - when > grace

    async def _silence(self, node: Obj) -> Obj:
        body = plan.silenced(node, meta.now())
        if body is None:
            return node
        self.events.event(
            node, "Normal", "NodeNotReady", f"Node {meta.name(node)} status is now: NodeNotReady"
        )
        try:
            return await self.client.patch(
                NODES, meta.name(node), body, type="strategic", subresource="status"
            )
        except NotFound:
            return node

    async def _taint(self, node: Obj) -> None:
        wanted = plan.no_execute(node)
        if pods.get_condition(node, "Ready") is None or (wanted and not self._may_evict(node)):
            wanted = None
        changed = plan.taints(node, plan.no_schedule(node), wanted, meta.now())
        if changed is None:
            return
        # Taints are one list: the lock keeps those that others add meanwhile.
        metadata = {"resourceVersion": meta.resource_version(node)}
        try:
            await self.client.patch(
                NODES, meta.name(node), {"metadata": metadata, "spec": {"taints": changed or None}}
            )
        except NotFound:
            return

    def _may_evict(self, node: Obj) -> bool:
        """Zones give up nodes one by one; a node that was given up stays so until it is ready."""
        if plan.has_no_execute(node):
            return True
        rates = plan.eviction_rates(self._nodes.list(), self._rates)
        name = plan.zone(node)
        return self._limiter.admit(name, rates.get(name, 0.0), time.monotonic())

    async def _mark_pods(self, node: Obj) -> None:
        """Take the pods of a node that has just become not ready out of service."""
        name = meta.name(node)
        if plan.ready_status(node) == "True" or pods.get_condition(node, "Ready") is None:
            self._pods_marked.discard(name)
            return
        if name in self._pods_marked:
            return
        for pod in self._pods.by_index(NODE_INDEX, name):
            if not pods.is_ready(pod):
                continue
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": meta.now()}
            body = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                await self.client.patch(
                    PODS, meta.name(pod), body, meta.namespace(pod), type="strategic", subresource="status"
                )
            except NotFound:
                continue
        self._pods_marked.add(name)
