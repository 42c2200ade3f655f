"""Keeps the number of pods of ReplicaSets, and in the same way of ReplicationControllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from kdist.api import meta, selectors
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Kind
from kdist.api.meta import Obj
from kdist.client.rest import Unreachable
from kdist.controllers.base import Controller
from kdist.controllers.expectations import Expectations
from kdist.controllers.ownership import OWNER_INDEX, Owner, by_owner, candidates, is_terminating_namespace
from kdist.controllers.pods import from_template, is_active, utc_now
from kdist.controllers.replicaset import plan as planning
from kdist.controllers.writes import all_of


class ReplicaSetController(Controller):
    """One key is one ReplicaSet."""

    name = "replicaset-controller"
    component = "replicaset-controller"
    kind: ClassVar[Kind] = REPLICA_SETS

    def setup(self) -> None:
        """Watch owners and pods."""
        self._expectations = Expectations()
        self._owner = Owner(self.client, self.kind, PODS)
        self._sets = self.watch(self.kind, self.enqueue, indexers={OWNER_INDEX: by_owner})
        self._pods = self.watch(PODS, self._pod_changed, indexers={OWNER_INDEX: by_owner})

    def selector(self, owner: Obj) -> selectors.LabelSelector:
        """Which pods the owner counts."""
        return selectors.from_label_selector(owner["spec"].get("selector"))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._expectations.saw(old, new)
        pod = new or old or {}
        for state in (old, new):
            self._enqueue_controller(state)
        if new is not None and meta.controller_of(pod) is None and not meta.is_deleting(pod):
            for owner in self._sets.list(meta.namespace(pod)):
                if self.selector(owner).matches(meta.labels(pod)):
                    self.queue.add(meta.key(owner))

    def _enqueue_controller(self, pod: Obj | None) -> None:
        ref = meta.controller_of(pod) if pod else None
        if pod and ref and ref["kind"] == self.kind.kind and ref["apiVersion"] == self.kind.api_version:
            self.queue.add(f"{meta.namespace(pod)}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        """Create or delete pods, then report."""
        owner = self._sets.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        in_cache = [p for p in candidates(self._pods, owner) if is_active(p)]
        active = await self._owner.claim(owner, self.selector(owner), in_cache)
        failure: tuple[str, str] | None = None
        error: Exception | None = None
        # While the cache does not show the last writes yet, counting would create pods twice.
        if self._expectations.satisfied(key) and not meta.is_deleting(owner):
            todo = planning.plan(self._wanted(owner), active, self._related(owner, active), utc_now())
            try:
                await self._apply(key, owner, todo)
            except (ApiError, Unreachable) as raised:
                failure, error = ("FailedCreate" if todo.create else "FailedDelete", str(raised)), raised
        status = await self._report(owner, active, failure)
        if error is not None and not (isinstance(error, ApiError) and is_terminating_namespace(error)):
            raise error
        return self._look_again(owner, status)

    @staticmethod
    def _wanted(owner: Obj) -> int:
        return int(meta.get(owner, "spec.replicas", 1))

    def _related(self, owner: Obj, active: list[Obj]) -> Iterable[Obj]:
        """The pods of all ReplicaSets of the same Deployment."""
        ref = meta.controller_of(owner)
        if ref is None:
            return active
        siblings = self._sets.by_index(OWNER_INDEX, ref["uid"])
        return [pod for s in siblings for pod in self._pods.by_index(OWNER_INDEX, meta.uid(s))]

    async def _apply(self, key: str, owner: Obj, todo: planning.Plan) -> None:
        with self._expectations.writing():
            for size in planning.batches(todo.create):
                await all_of(self._create(key, owner) for _ in range(size))
            await all_of(self._delete(key, owner, pod) for pod in todo.delete)

    async def _create(self, key: str, owner: Obj) -> None:
        try:
            pod = await self.client.create(PODS, from_template(owner["spec"]["template"], owner, self.kind))
        except ApiError as error:
            if not is_terminating_namespace(error):
                self.events.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._expectations.created(key, pod)
        self.events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _delete(self, key: str, owner: Obj, pod: Obj) -> None:
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except NotFound:
            return
        except ApiError as error:
            self.events.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._expectations.deleted(key, pod)
        self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _report(self, owner: Obj, active: list[Obj], failure: tuple[str, str] | None) -> Obj:
        status = planning.status(owner, active, failure, utc_now())
        if status != (owner.get("status") or {}):
            try:
                await self.client.update(self.kind, {**owner, "status": status}, subresource="status")
            except NotFound:
                self._expectations.forget(meta.key(owner))
        return status

    def _look_again(self, owner: Obj, status: Obj) -> float | None:
        """When pods are ready but not available yet, time alone will change the status."""
        min_ready = owner["spec"].get("minReadySeconds") or 0
        waiting = status.get("readyReplicas", 0) != status.get("availableReplicas", 0)
        return float(min_ready) if min_ready and waiting else None


class ReplicationControllerController(ReplicaSetController):
    """One key is one ReplicationController, whose selector is a plain map."""

    name = "replicationcontroller-controller"
    component = "replication-controller"
    kind = REPLICATION_CONTROLLERS

    def selector(self, owner: Obj) -> selectors.LabelSelector:
        """Which pods the owner counts."""
        return selectors.from_labels(owner["spec"].get("selector"))
