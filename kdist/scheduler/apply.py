"""What scheduling writes to the API server: bindings, conditions, evictions."""

from __future__ import annotations

import asyncio
from typing import Protocol

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import PODS
from kdist.api.meta import Obj
from kdist.client.events import EventRecorder
from kdist.client.rest import Client
from kdist.scheduler.podinfo import PodInfo


class Writer(Protocol):
    """The scheduler's side effects; tests and benchmarks have their own."""

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Bind the pod. Raises ApiError, Unreachable."""

    async def explain(self, pod: PodInfo, reason: str, message: str, nominated: str | None) -> None:
        """Say in the pod's status why it is not placed."""

    async def evict(self, victim: PodInfo, by: PodInfo, node: str) -> None:
        """Make room: delete the victim, saying why."""

    def event(self, obj: Obj, type: str, reason: str, message: str) -> None:
        """Tell the user."""


class ApiWriter:
    """Writes through the client; at most ``parallel`` bindings at once."""

    def __init__(self, client: Client, recorder: EventRecorder, parallel: int) -> None:
        self._client, self._recorder = client, recorder
        self._slots = asyncio.Semaphore(parallel)

    async def bind(self, pod: PodInfo, node: str) -> None:
        """POST the Binding."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        async with self._slots:
            await self._client.create(PODS, binding, pod.namespace, subresource="binding", name=pod.name)

    async def explain(self, pod: PodInfo, reason: str, message: str, nominated: str | None) -> None:
        """Patch PodScheduled=False, and the nominated node when there is one, if that says anything new."""
        known = pods.get_condition(pod.obj, "PodScheduled") or {}
        same = (known.get("status"), known.get("reason"), known.get("message")) == ("False", reason, message)
        if same and nominated is None:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": known.get("lastTransitionTime")
            if known.get("status") == "False"
            else meta.now(),
        }
        status: Obj = {"conditions": [condition]}
        if nominated is not None:
            status["nominatedNodeName"] = nominated
        await self._patch_status(pod, status)

    async def evict(self, victim: PodInfo, by: PodInfo, node: str) -> None:
        """Mark the victim as disrupted, then delete it with its own grace."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": meta.now(),
        }
        try:
            await self._patch_status(victim, {"conditions": [condition]})
            await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        except NotFound:
            return
        self.event(victim.obj, "Normal", "Preempted", f"Preempted by pod {by.uid} on node {node}")

    async def _patch_status(self, pod: PodInfo, status: Obj) -> None:
        body = {"metadata": {"uid": pod.uid}, "status": status}
        await self._client.patch(PODS, pod.name, body, pod.namespace, type="strategic", subresource="status")

    def event(self, obj: Obj, type: str, reason: str, message: str) -> None:
        """Record an event."""
        self._recorder.event(obj, type, reason, message)
