"""Evicts pods that do not tolerate a NoExecute taint of their node, at once or when their patience ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import NODES, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.nodelifecycle.controller import NODE_INDEX, by_node
from kdist.controllers.pods import utc_now


def no_execute_taints(node: Obj | None) -> list[Obj]:
    """The taints that evict."""
    return [t for t in meta.get(node, "spec.taints", ()) if t.get("effect") == "NoExecute"]


def patience(tolerations: Iterable[Obj], taints: list[Obj]) -> float | None:
    """Seconds that the pod may stay with these taints; 0: not at all, None: for good."""
    tolerations = list(tolerations)
    used = [t for t in tolerations if any(pods.tolerates([t], taint) for taint in taints)]
    if not all(pods.tolerates(used, taint) for taint in taints):
        return 0.0
    limited = [t["tolerationSeconds"] for t in used if t.get("tolerationSeconds") is not None]
    return max(0.0, float(min(limited))) if limited else None


def since(pod: Obj, taints: list[Obj], first_seen: datetime) -> datetime:
    """From when patience counts: the pod is on the node and the last of the taints too."""
    moments = [meta.parse_time(t["timeAdded"]) if t.get("timeAdded") else first_seen for t in taints]
    scheduled = (pods.get_condition(pod, "PodScheduled") or {}).get("lastTransitionTime")
    if scheduled:
        moments.append(meta.parse_time(scheduled))
    return max(moments)


class TaintEvictionController(Controller):
    """One key is one pod."""

    name = "taint-eviction-controller"
    component = "taint-eviction-controller"
    workers = 8

    def setup(self) -> None:
        """Watch pods and the taints of nodes."""
        self._first_seen: dict[str, datetime] = {}  # pod uid -> when it was first seen with taints
        self._nodes = self.watch(NODES, self._node_changed)
        self._pods = self.watch(PODS, self._pod_changed, indexers={NODE_INDEX: by_node})

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._first_seen.pop(meta.uid(old or {}), None)
        elif old is None or meta.get(old, "spec") != meta.get(new, "spec"):
            self.queue.add(meta.key(new))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and no_execute_taints(old) != no_execute_taints(new):
            for pod in self._pods.by_index(NODE_INDEX, meta.name(new)):
                self.queue.add(meta.key(pod))

    async def reconcile(self, key: str) -> float | None:
        """Evict, wait, or leave alone."""
        pod = self._pods.get(key)
        node = self._nodes.get(meta.get(pod, "spec.nodeName", ""))
        if pod is None or node is None or meta.is_deleting(pod) or pods.is_terminal(pod):
            return None
        taints = no_execute_taints(node)
        if not taints:
            if self._first_seen.pop(meta.uid(pod), None):
                self._tell(pod, f"Cancelling deletion of Pod {key}")
            return None
        seconds = patience(meta.get(pod, "spec.tolerations", ()), taints)
        if seconds is None:
            self._first_seen.pop(meta.uid(pod), None)
            return None
        first_seen = self._first_seen.setdefault(meta.uid(pod), utc_now())
        left = seconds - (utc_now() - since(pod, taints, first_seen)).total_seconds()
        if seconds > 0 and left > 0:
            return left
        await self._evict(key, pod)
        return None

    async def _evict(self, key: str, pod: Obj) -> None:
        self._tell(pod, f"Marking for deletion Pod {key}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": meta.now(),
        }
        body = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
        name, namespace = meta.name(pod), meta.namespace(pod)
        try:
            await self.client.patch(PODS, name, body, namespace, type="strategic", subresource="status")
            await self.client.delete(PODS, name, namespace, uid=meta.uid(pod))
        except NotFound:
            return

    def _tell(self, pod: Obj, message: str) -> None:
        self.events.event(pod, "Normal", "TaintManagerEviction", message)
