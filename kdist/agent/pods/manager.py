"""All pods of the node: one worker each, started when a source names the pod, ended when nothing of it is left.

Also the sweep of what no source knows: pods that were deleted while the agent was down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from kdist.agent.cri import labels
from kdist.agent.pods import admission, leftovers
from kdist.agent.pods import spec as specs
from kdist.agent.pods.admission import Rejection
from kdist.agent.pods.host import Host
from kdist.agent.pods.observed import Observed
from kdist.agent.pods.stages import Stage
from kdist.agent.pods.worker import PodWorker
from kdist.api import meta
from kdist.api import pods as api_pods
from kdist.api.meta import Obj
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
SWEEP_SECONDS = 10.0
LEFTOVERS_SECONDS = 60.0


class PodManager:
    """Dispatches pods of all sources to their workers."""

    def __init__(
        self,
        host: Host,
        group: asyncio.TaskGroup,
        node: Callable[[], Obj],
        ask_node: Callable[[], Awaitable[Obj]],
    ) -> None:
        """For admission: ``node`` is this node's object as last seen, ``ask_node`` asks the API for it."""
        self._host, self._group, self._node, self._ask_node = host, group, node, ask_node
        self._workers: dict[str, PodWorker] = {}
        self._next: dict[str, Obj] = {}

    # What sources say.

    def source_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A source's pod came (``old`` None), changed, or went (``new`` None)."""
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            self._forget(old)
        if new is not None:
            self._desire(new)

    def _forget(self, pod: Obj) -> None:
        waiting = self._next.get(meta.key(pod))
        if waiting is not None and meta.uid(waiting) == meta.uid(pod):
            del self._next[meta.key(pod)]
        worker = self._workers.get(meta.uid(pod))
        if worker is not None:
            worker.remove()

    def _desire(self, pod: Obj) -> None:
        worker = self._workers.get(meta.uid(pod))
        if worker is not None and not worker.removed:
            worker.update(pod)
        elif worker is not None or (specs.is_static(pod) and self._predecessor(pod)):
            # Static pods keep their name across versions, and their uid when a manifest goes and comes back:
            # what is still ending makes room first.
            self._next[meta.key(pod)] = pod
        else:
            self._start(pod)

    def _predecessor(self, pod: Obj) -> bool:
        key = meta.key(pod)
        return any(meta.key(w.pod) == key and specs.is_static(w.pod) for w in self._workers.values())

    def _start(self, pod: Obj) -> None:
        worker = PodWorker(self._host, pod)
        refused = None
        if not api_pods.is_terminal(pod) and not meta.is_deleting(pod) and not self._has_begun(pod):
            refused = self._admit(pod, self._node())
        self._workers[meta.uid(pod)] = worker
        self._group.create_task(self._work(worker, refused), name=f"pod {meta.key(pod)}")

    def _admit(self, pod: Obj, node: Obj) -> Rejection | None:
        others = [other for other in self.active() if meta.uid(other) != meta.uid(pod)]
        return admission.admit(pod, others, self._host.node.allocatable, node)

    async def _refuse(self, worker: PodWorker, refused: Rejection) -> None:
        """Reject a pod, unless the scheduler knew something newer about the node than we did."""
        final: Rejection | None = refused
        if refused.by_node:
            final = self._admit(worker.pod, await self._ask_node())
        if final is not None:
            self._host.record(worker.pod, "", "Warning", final.reason, final.message)
            worker.reject(final.reason, final.message)

    def _has_begun(self, pod: Obj) -> bool:
        return bool(self._host.cache.get(meta.uid(pod)).sandboxes)

    async def _work(self, worker: PodWorker, refused: Rejection | None = None) -> None:
        if refused is not None:
            await self._refuse(worker, refused)
        await worker.run()
        del self._workers[worker.uid]
        self._host.prober.forget(worker.uid)
        follower = self._next.pop(meta.key(worker.pod), None)
        if follower is not None:
            self._desire(follower)

    # What others ask.

    def wake(self, uid: str) -> None:
        """The runtime's state or a probe's verdict of a pod changed."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def wake_all(self) -> None:
        """Something that every pod depends on changed."""
        for worker in self._workers.values():
            worker.wake()

    def refresh_all(self) -> None:
        """Something that pods' files show changed."""
        for worker in self._workers.values():
            worker.refresh_soon()

    def pods(self) -> list[Obj]:
        """Every pod, with its latest status."""
        return [worker.pod for worker in self._workers.values()]

    def active(self) -> Iterable[Obj]:
        """Pods that use resources of the node."""
        return [w.pod for w in self._workers.values() if w.stage in (Stage.RUNNING, Stage.STOPPING)]

    def find(self, namespace: str, name: str, uid: str = "") -> Obj | None:
        """A pod by name; ``uid`` may also be the one of its mirror pod's annotation."""
        found = [w.pod for w in self._workers.values() if meta.key(w.pod) == f"{namespace}/{name}"]
        exact = [p for p in found if meta.uid(p) == uid]
        return next(iter(exact or found), None)

    # What nobody wants.

    async def sweep(self, static_ready: Callable[[], bool], api_ready: Callable[[], bool]) -> None:
        """Stop pods that no source knows, as far as the sources have spoken; until cancelled."""
        next_leftovers = 0.0
        while True:
            for uid in self._host.cache.uids():
                observed = self._host.cache.get(uid)
                ready = static_ready if _is_static(observed) else api_ready
                if uid not in self._workers and ready() and not self._is_next(uid):
                    log.info("stopping a pod that no source knows", uid=uid, pod=observed.name)
                    self._adopt_orphan(observed)
            if self._host.clock() >= next_leftovers and static_ready() and api_ready():
                next_leftovers = self._host.clock() + LEFTOVERS_SECONDS
                await leftovers.sweep(self._host, self._known())
            await asyncio.sleep(SWEEP_SECONDS)

    def _known(self) -> set[str]:
        waiting = {meta.uid(pod) for pod in self._next.values()}
        return {*self._workers, *waiting, *self._host.cache.uids()}

    def _is_next(self, uid: str) -> bool:
        return any(meta.uid(pod) == uid for pod in self._next.values())

    def _adopt_orphan(self, observed: Observed) -> None:
        worker = PodWorker(self._host, _remains(observed))
        worker.remove()
        self._workers[observed.uid] = worker
        self._group.create_task(self._work(worker), name=f"orphan {observed.namespace}/{observed.name}")


def _is_static(observed: Observed) -> bool:
    return bool(observed.sandbox and observed.sandbox.source not in ("", "api"))


def _remains(observed: Observed) -> Obj:
    """As much of a pod as the runtime still tells: enough to stop and remove it."""
    grace = next((g for g in (s.grace_seconds for s in observed.sandboxes) if g is not None), None)
    source = observed.sandbox.source if observed.sandbox else ""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": observed.name,
            "namespace": observed.namespace,
            "uid": observed.uid,
            "annotations": {labels.CONFIG_SOURCE: source or "api"},
        },
        "spec": {
            "containers": [{"name": n} for n in sorted({c.name for c in observed.containers})],
            "terminationGracePeriodSeconds": grace,
        },
        "status": {},
    }
