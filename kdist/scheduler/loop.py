"""The scheduling loop: take a pod, choose a node at once, bind it in the background.

Choosing is synchronous, so that it sees one state of the cluster; a chosen pod is assumed in the cache before
the next one is taken. Everything that waits for others (volumes, the API server) happens in a task per pod.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from kdist.api.errors import ApiError, NotFound
from kdist.client.rest import Unreachable
from kdist.scheduler import events, metrics
from kdist.scheduler.apply import Writer
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import BindingFailed, Diagnosis, Framework, State
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.preemption import Plan, Preemptor
from kdist.scheduler.queue import QueuedPod, SchedulingQueue
from kdist.telemetry import log

_log = log.get(__name__)
PROFILE = "default-scheduler"


class Scheduler:
    """Places the pods of a queue on the nodes of a cache."""

    def __init__(
        self, cache: Cache, queue: SchedulingQueue, framework: Framework, preemptor: Preemptor, writer: Writer
    ) -> None:
        self._cache, self._queue, self._framework = cache, queue, framework
        self._preemptor, self._writer = preemptor, writer

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                queued = await self._queue.pop()
                self._schedule(queued, tasks)
                await asyncio.sleep(0)  # let bindings and watches go on while the queue is full

    def _schedule(self, queued: QueuedPod, tasks: asyncio.TaskGroup) -> None:
        started = time.perf_counter()
        pod, state = queued.pod, State()
        diagnosis = Diagnosis(nodes=len(self._cache.nodes))
        node = self._choose(pod, state, diagnosis)
        metrics.ALGORITHM_SECONDS.observe(time.perf_counter() - started)
        if node is None:
            _observe("unschedulable", started)
            self._refuse(queued, state, diagnosis, tasks)
            return
        self._cache.assume(pod, node)
        self._cache.nominated.pop(pod.uid, None)
        tasks.create_task(self._bind(queued, state, node, started), name=f"bind-{pod.key}")

    def _choose(self, pod: PodInfo, state: State, diagnosis: Diagnosis) -> str | None:
        if not self._framework.pre_filter(pod, state, diagnosis):
            return None
        feasible = self._framework.filter(pod, state, diagnosis)
        if not feasible.any():
            return None
        node = self._framework.pick(pod, state, feasible)
        refusal = self._framework.reserve(pod, state, node)
        if refusal is not None:
            diagnosis.reasons[refusal.reason] += 1
            return None
        return node

    # ----- success

    async def _bind(self, queued: QueuedPod, state: State, node: str, started: float) -> None:
        pod = queued.pod
        try:
            await self._framework.pre_bind(pod, state, node)
            await self._writer.bind(pod, node)
        except (ApiError, BindingFailed, Unreachable) as error:
            _observe("error", started)
            self._binding_failed(queued, state, node, error)
            return
        self._queue.remove(pod.uid)
        self._writer.event(pod.obj, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")
        _observe("scheduled", started)
        waited = time.monotonic() - queued.added
        metrics.POD_SECONDS.labels(str(min(queued.attempts, 16))).observe(waited)

    def _binding_failed(self, queued: QueuedPod, state: State, node: str, error: Exception) -> None:
        pod = queued.pod
        self._framework.unreserve(pod, state, node)
        self._cache.forget(pod)
        self._queue.move(events.BINDING_FAILED)
        if isinstance(error, NotFound) and pod.uid not in self._queue:
            return  # deleted meanwhile
        _log.warning("binding failed", pod=pod.key, node=node, error=error)
        self._writer.event(pod.obj, "Warning", "FailedScheduling", str(error))
        self._queue.back_off(queued)

    # ----- refusal

    def _refuse(
        self, queued: QueuedPod, state: State, diagnosis: Diagnosis, tasks: asyncio.TaskGroup
    ) -> None:
        pod = queued.pod
        plan, after = self._preempt(pod, state, diagnosis)
        message = diagnosis.text(after)
        _log.debug("unschedulable", pod=pod.key, reason=message)
        self._writer.event(pod.obj, "Warning", "FailedScheduling", message)
        nominated: str | None = None
        if plan is not None:
            nominated = plan.node
            self._cache.nominated[pod.uid] = (pod, plan.node)
        elif self._cache.nominated.pop(pod.uid, None) is not None:
            nominated = ""
        self._queue.unschedulable(queued, frozenset(diagnosis.plugins))
        tasks.create_task(
            self._guard(pod, self._explain(pod, message, nominated, plan)), name=f"explain-{pod.key}"
        )

    def _preempt(self, pod: PodInfo, state: State, diagnosis: Diagnosis) -> tuple[Plan | None, str]:
        if not diagnosis.nodes:
            return None, ""
        metrics.PREEMPTIONS.inc()
        plan, after = self._preemptor.plan(pod, state, diagnosis)
        if plan is not None:
            metrics.VICTIMS.observe(len(plan.victims))
            _log.info("preempting", pod=pod.key, node=plan.node, victims=len(plan.victims))
        return plan, after

    async def _explain(self, pod: PodInfo, message: str, nominated: str | None, plan: Plan | None) -> None:
        await self._writer.explain(pod, "Unschedulable", message, nominated)
        if plan is not None:
            for victim in plan.victims:
                await self._writer.evict(victim, pod, plan.node)

    async def _guard(self, pod: PodInfo, work: Coroutine[Any, Any, None]) -> None:
        """A status that cannot be written is written by the next attempt."""
        try:
            await work
        except NotFound:
            pass
        except (ApiError, Unreachable) as error:
            _log.warning("cannot explain or make room", pod=pod.key, error=error)


def _observe(result: str, started: float) -> None:
    metrics.ATTEMPTS.labels(result, PROFILE).inc()
    metrics.ATTEMPT_SECONDS.labels(result, PROFILE).observe(time.perf_counter() - started)
