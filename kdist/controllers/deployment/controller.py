"""Moves a Deployment's ReplicaSets towards its template and size, one step per reconcile.

Every write changes a ReplicaSet, whose event brings the Deployment back into the queue: a rollout is many small
steps, each decided from the state at hand. A write based on an old cache fails with Conflict and is planned anew.
"""

from __future__ import annotations

from copy import deepcopy

from kdist.api import meta, selectors
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.deployment import plan, revisions, status
from kdist.controllers.ownership import OWNER_INDEX, Owner, by_owner, candidates, is_terminating_namespace
from kdist.controllers.pods import utc_now


class DeploymentController(Controller):
    """One key is one Deployment."""

    name = "deployment-controller"
    component = "deployment-controller"

    def setup(self) -> None:
        """Watch Deployments, their ReplicaSets and the end of pods."""
        self._owner = Owner(self.client, DEPLOYMENTS, REPLICA_SETS)
        self._deployments = self.watch(DEPLOYMENTS, self.enqueue)
        self._sets = self.watch(REPLICA_SETS, self._set_changed, indexers={OWNER_INDEX: by_owner})
        self._pods = self.watch(PODS, self._pod_changed, indexers={OWNER_INDEX: by_owner})

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        for state in (old, new):
            self._enqueue_owner(state)
        if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
            for deployment in self._deployments.list(meta.namespace(new)):
                if _selector(deployment).matches(meta.labels(new)):
                    self.queue.add(meta.key(deployment))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Recreate waits for the last old pod to end."""
        if new is not None or old is None:
            return
        ref = meta.controller_of(old)
        if ref and ref["kind"] == REPLICA_SETS.kind:
            self._enqueue_owner(self._sets.get(f"{meta.namespace(old)}/{ref['name']}"))

    def _enqueue_owner(self, replica_set: Obj | None) -> None:
        ref = meta.controller_of(replica_set) if replica_set else None
        if replica_set and ref and ref["kind"] == DEPLOYMENTS.kind:
            self.queue.add(f"{meta.namespace(replica_set)}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        """One step."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        selector = _selector(deployment)
        if selector.everything:
            self.events.event(deployment, "Warning", "SelectingAll", "This deployment is selecting all pods.")
            return None
        sets = await self._owner.claim(deployment, selector, candidates(self._sets, deployment))
        new = revisions.find_new(deployment, sets)
        old = [s for s in sets if new is None or meta.uid(s) != meta.uid(new)]
        if meta.is_deleting(deployment):
            await self._report_counts(deployment, new, old)
            return None
        if noted := status.pausing(deployment, meta.now()):
            deployment = await self._write_status(deployment, noted)
        if deployment["spec"].get("paused") or plan.needs_scaling(deployment, sets):
            await self._scale(deployment, new, old)
            return None
        if plan.is_recreate(deployment):
            return await self._recreate(deployment, new, old)
        return await self._advance(deployment, new, old, recreate=False)

    async def _scale(self, deployment: Obj, new: Obj | None, old: list[Obj]) -> None:
        if new is not None:
            deployment, new = await self._annotate(deployment, new, old)
        sizes = plan.scaling_step(deployment, plan.limits(deployment), new, old)
        new, old = await self._resize(deployment, new, old, sizes)
        if deployment["spec"].get("paused"):
            await self._clean_up(deployment, old)
        await self._report_counts(deployment, new, old)

    async def _recreate(self, deployment: Obj, new: Obj | None, old: list[Obj]) -> float | None:
        if new is not None:
            deployment, new = await self._annotate(deployment, new, old)
        stop = {meta.uid(s): 0 for s in old if plan.size(s) > 0}
        pods = [p for s in old for p in self._pods.by_index(OWNER_INDEX, meta.uid(s))]
        if stop or plan.old_pods_run(new, old, pods):
            new, old = await self._resize(deployment, new, old, stop)
            return await self._report(deployment, new, old)
        return await self._advance(deployment, new, old, recreate=True)

    async def _advance(
        self, deployment: Obj, new: Obj | None, old: list[Obj], *, recreate: bool
    ) -> float | None:
        limit = plan.limits(deployment)
        if new is None:
            deployment, new = await self._create(deployment, old, recreate)
        else:
            deployment, new = await self._annotate(deployment, new, old)
        if recreate:
            sizes = {} if plan.size(new) == limit.wanted else {meta.uid(new): limit.wanted}
        else:
            sizes = plan.rolling_step(limit, new, old)
        current, old = await self._resize(deployment, new, old, sizes)
        if not sizes and status.is_complete(deployment, deployment.get("status") or {}):
            await self._clean_up(deployment, old)
        return await self._report(deployment, current, old)

    async def _create(self, deployment: Obj, old: list[Obj], recreate: bool) -> tuple[Obj, Obj]:
        """The Deployment (with its revision) and its new ReplicaSet."""
        limit = plan.limits(deployment)
        replicas = plan.new_size(limit, recreate, None, old)
        number = revisions.next_revision(old)
        wanted = revisions.make(deployment, number, replicas, limit.surge)
        try:
            made = await self.client.create(REPLICA_SETS, wanted)
        except AlreadyExists:
            made = await self._existing(deployment, wanted)
        except ApiError as error:
            await self._report_failed_create(deployment, wanted, error)
            raise
        if replicas:
            self.events.event(
                deployment,
                "Normal",
                "ScalingReplicaSet",
                f"Scaled up replica set {meta.name(made)} from 0 to {replicas}",
            )
        deployment = await self._note_progress(
            deployment, "NewReplicaSetCreated", f'Created new replica set "{meta.name(made)}"'
        )
        return await self._set_revision(deployment, made), made

    async def _existing(self, deployment: Obj, wanted: Obj) -> Obj:
        """The ReplicaSet of that name if it is ours (the cache was old); else another name is needed."""
        found = await self.client.get(REPLICA_SETS, meta.name(wanted), meta.namespace(wanted))
        ours = (meta.controller_of(found) or {}).get("uid") == meta.uid(deployment)
        if ours and revisions.same_template(found["spec"]["template"], wanted["spec"]["template"]):
            return found
        counted = deepcopy(deployment.get("status") or {})
        counted["collisionCount"] = (counted.get("collisionCount") or 0) + 1
        await self._write_status(deployment, counted)
        raise Conflict(f"the name {meta.name(wanted)} is taken by another replica set")

    async def _report_failed_create(self, deployment: Obj, wanted: Obj, error: ApiError) -> None:
        if not is_terminating_namespace(error) and status.has_deadline(deployment):
            new = deepcopy(deployment.get("status") or {})
            text = f'Failed to create new replica set "{meta.name(wanted)}": {error}'
            status.set_condition(new, "Progressing", "False", "ReplicaSetCreateError", text, meta.now())
            await self._write_status(deployment, new)

    async def _annotate(self, deployment: Obj, new: Obj, old: list[Obj]) -> tuple[Obj, Obj]:
        """Bring revision and annotations of an existing ReplicaSet up to date (a rollback renumbers it)."""
        annotations = revisions.annotated(deployment, new, revisions.next_revision(old))
        ready_seconds = deployment["spec"].get("minReadySeconds") or 0
        if annotations != meta.annotations(new) or (new["spec"].get("minReadySeconds") or 0) != ready_seconds:
            changed = deepcopy(new)
            changed["metadata"]["annotations"] = annotations
            changed["spec"]["minReadySeconds"] = ready_seconds
            new = await self.client.update(REPLICA_SETS, changed)
        if status.get_condition(deployment.get("status") or {}, "Progressing") is None:
            found = f'Found new replica set "{meta.name(new)}"'
            deployment = await self._note_progress(deployment, "FoundNewReplicaSet", found)
        return await self._set_revision(deployment, new), new

    async def _note_progress(self, deployment: Obj, reason: str, message: str) -> Obj:
        if not status.has_deadline(deployment):
            return deployment
        noted = deepcopy(deployment.get("status") or {})
        status.set_condition(noted, "Progressing", "True", reason, message, meta.now())
        return await self._write_status(deployment, noted)

    async def _set_revision(self, deployment: Obj, new: Obj) -> Obj:
        number = str(revisions.revision(new))
        if meta.annotations(deployment).get(revisions.REVISION) == number:
            return deployment
        changed = deepcopy(deployment)
        changed["metadata"].setdefault("annotations", {})[revisions.REVISION] = number
        return await self.client.update(DEPLOYMENTS, changed)

    async def _resize(
        self, deployment: Obj, new: Obj | None, old: list[Obj], sizes: plan.Sizes
    ) -> tuple[Obj | None, list[Obj]]:
        """Apply sizes; every active ReplicaSet also learns the size of the whole."""
        told = revisions.scale_annotations(deployment, plan.limits(deployment).surge)
        if new is not None:
            new = await self._resize_one(deployment, new, sizes.get(meta.uid(new)), told)
        return new, [await self._resize_one(deployment, s, sizes.get(meta.uid(s)), told) for s in old]

    async def _resize_one(
        self, deployment: Obj, replica_set: Obj, wanted: int | None, told: dict[str, str]
    ) -> Obj:
        before = plan.size(replica_set)
        wanted = before if wanted is None else wanted
        stale = wanted > 0 and not told.items() <= meta.annotations(replica_set).items()
        if wanted == before and not stale:
            return replica_set
        changed = deepcopy(replica_set)
        changed["spec"]["replicas"] = wanted
        changed["metadata"].setdefault("annotations", {}).update(told)
        updated = await self.client.update(REPLICA_SETS, changed)
        if wanted != before:
            direction = "up" if wanted > before else "down"
            text = f"Scaled {direction} replica set {meta.name(replica_set)} from {before} to {wanted}"
            self.events.event(deployment, "Normal", "ScalingReplicaSet", text)
        return updated

    async def _clean_up(self, deployment: Obj, old: list[Obj]) -> None:
        for replica_set in revisions.expendable(deployment, old):
            try:
                await self.client.delete(REPLICA_SETS, meta.name(replica_set), meta.namespace(replica_set))
            except NotFound:
                continue

    async def _report_counts(self, deployment: Obj, new: Obj | None, old: list[Obj]) -> None:
        sets = [*old, *([new] if new else [])]
        await self._write_status(deployment, status.counts(deployment, new, sets, meta.now()))

    async def _report(self, deployment: Obj, new: Obj | None, old: list[Obj]) -> float | None:
        now = utc_now()
        told = status.rollout(deployment, new, [*old, *([new] if new else [])], now)
        await self._write_status(deployment, told)
        return status.deadline_in(deployment, told, now)

    async def _write_status(self, deployment: Obj, new: Obj) -> Obj:
        if new == (deployment.get("status") or {}):
            return deployment
        return await self.client.update(DEPLOYMENTS, {**deployment, "status": new}, subresource="status")


def _selector(deployment: Obj) -> selectors.LabelSelector:
    return selectors.from_label_selector(deployment["spec"].get("selector"))
