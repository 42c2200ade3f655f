"""Deletes finished pods beyond a limit, pods of vanished nodes and unscheduled pods that never end."""

from __future__ import annotations

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import NODES, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.podgc import plan

PERIOD_SECONDS = 20.0
# How long a node must be gone before its pods are: a node that registers again keeps them.
QUARANTINE_SECONDS = 40.0
_EVERYTHING = "everything"


class PodGarbageCollector(Controller):
    """One key, ``everything``, and one for each node that is missing."""

    name = "pod-garbage-collector-controller"
    workers = 1

    def setup(self) -> None:
        """Look at pods and nodes every now and then."""
        self._pods, self._nodes = self.watch(PODS), self.watch(NODES)
        self._missing: set[str] = set()
        self.queue.add(_EVERYTHING)

    async def reconcile(self, key: str) -> float | None:
        """Sweep, or deal with one vanished node."""
        if key != _EVERYTHING:
            await self._collect_orphans(key)
            return None
        all_pods, nodes = self._pods.list(), self._nodes.list()
        for pod in plan.terminated(all_pods, self.settings.terminated_pod_gc_threshold):
            await self._delete(pod)
        for pod in plan.unscheduled_terminating(all_pods) + plan.out_of_service(all_pods, nodes):
            await self._delete(pod, fail=True)
        missing = set(plan.orphaned(all_pods, {meta.name(n) for n in nodes}))
        for node in missing - self._missing:
            self.queue.add_after(node, QUARANTINE_SECONDS)
        self._missing = missing
        return PERIOD_SECONDS

    async def _collect_orphans(self, node: str) -> None:
        self._missing.discard(node)
        try:
            await self.client.get(NODES, node)  # the cache is no proof that a node is gone
        except NotFound:
            for pod in plan.orphaned(self._pods.list(), {meta.name(n) for n in self._nodes.list()}).get(
                node, ()
            ):
                await self._delete(pod, fail=True)

    async def _delete(self, pod: Obj, *, fail: bool = False) -> None:
        """Delete at once; ``fail``: first make it Failed, so that owners count it as lost, not as done."""
        name, namespace = meta.name(pod), meta.namespace(pod)
        try:
            if fail and not pods.is_terminal(pod):
                await self.client.patch(
                    PODS, name, _failed(pod), namespace, type="strategic", subresource="status"
                )
            await self.client.delete(PODS, name, namespace, grace_seconds=0, uid=meta.uid(pod))
        except NotFound:
            return


def _failed(pod: Obj) -> Obj:
    status: Obj = {"phase": "Failed"}
    if meta.get(pod, "spec.nodeName"):
        status["conditions"] = [
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": meta.now(),
            }
        ]
    return {"status": status}
