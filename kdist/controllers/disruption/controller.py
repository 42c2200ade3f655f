"""Keeps the status of PodDisruptionBudgets, which the eviction API spends from."""

from __future__ import annotations

from kdist.api import meta, selectors
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Kind,
)
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.disruption import plan
from kdist.controllers.pods import utc_now

_SCALABLE = {
    (k.group, k.kind): k for k in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)
}


class DisruptionController(Controller):
    """One key is one PodDisruptionBudget."""

    name = "disruption-controller"
    component = "controllermanager"

    def setup(self) -> None:
        """Watch budgets, pods and what controls them."""
        self._budgets = self.watch(POD_DISRUPTION_BUDGETS, self.enqueue)
        self._pods = self.watch(PODS, self._pod_changed)
        self._scalable = {k: self.watch(k, self._scalable_changed) for k in _SCALABLE.values()}

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            for budget in self._budgets.list(meta.namespace(pod)):
                if _selector(budget).matches(meta.labels(pod)):
                    self.queue.add(meta.key(budget))

    def _scalable_changed(self, old: Obj | None, new: Obj | None) -> None:
        if meta.get(old, "spec.replicas") == meta.get(new, "spec.replicas"):
            return
        for budget in self._budgets.list(meta.namespace(new or old or {})):
            self.queue.add(meta.key(budget))

    async def reconcile(self, key: str) -> float | None:
        """Count and report."""
        budget = self._budgets.get(key)
        if budget is None or meta.is_deleting(budget):
            return None
        selector, now = _selector(budget), utc_now()
        chosen = [p for p in self._pods.list(meta.namespace(budget)) if selector.matches(meta.labels(p))]
        living = [p for p in chosen if meta.get(p, "status.phase") not in ("Succeeded", "Failed")]
        if not living:
            self.events.event(budget, "Normal", "NoPods", "No matching pods found")
        scale = 0
        try:
            if plan.counts_controllers(budget):
                scale = await self._scale(budget, living)
            status = plan.status(budget, living, scale, now)
        except LookupError as error:
            self.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", str(error))
            status = plan.failed(budget, str(error), now)
        if status != (budget.get("status") or {}):
            try:
                await self.client.update(
                    POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status"
                )
            except NotFound:
                return None
        return plan.EVICTION_TIMEOUT.total_seconds() if status.get("disruptedPods") else None

    async def _scale(self, budget: Obj, pods: list[Obj]) -> int:
        """What the pods' controllers want, each counted once. LookupError when that cannot be told."""
        wanted: dict[str, int] = {}
        for pod in pods:
            ref = meta.controller_of(pod)
            if ref is None:
                text = f"pod {meta.name(pod)} has no controller, so its share cannot be calculated"
                self.events.event(budget, "Warning", "UnmanagedPods", text)
                continue
            if ref["uid"] not in wanted:
                uid, replicas = await self._replicas(meta.namespace(pod), ref)
                wanted[ref["uid"]] = wanted[uid] = replicas
                if uid != ref["uid"]:
                    wanted[ref["uid"]] = 0  # a ReplicaSet's Deployment is counted in its place
        return sum(wanted.values())

    async def _replicas(self, namespace: str, ref: Obj) -> tuple[str, int]:
        """The uid and the wanted replicas of the topmost controller."""
        kind = _SCALABLE.get((ref["apiVersion"].rpartition("/")[0], ref["kind"]))
        if kind is None:
            return ref["uid"], await self._ask_for_scale(namespace, ref)
        owner = self._scalable[kind].get(f"{namespace}/{ref['name']}")
        if owner is None or meta.uid(owner) != ref["uid"]:
            return ref["uid"], 0
        above = meta.controller_of(owner)
        if above is not None and kind is REPLICA_SETS:
            return await self._replicas(namespace, above)
        return meta.uid(owner), int(meta.get(owner, "spec.replicas", 1))

    async def _ask_for_scale(self, namespace: str, ref: Obj) -> int:
        """Custom resources tell through their scale subresource; the plural follows the usual rule."""
        group, _, version = ref["apiVersion"].rpartition("/")
        guess = Kind(group, version, ref["kind"].lower() + "s", ref["kind"])
        try:
            scale = await self.client.request("GET", guess.path(namespace, ref["name"], "scale"))
        except ApiError as error:
            raise LookupError(
                f"found no controllers for pod: {ref['kind']} {ref['name']}: {error}"
            ) from error
        return int(meta.get(scale, "spec.replicas", 0))


def _selector(budget: Obj) -> selectors.LabelSelector:
    return selectors.from_label_selector(meta.get(budget, "spec.selector"))
