"""Brings StatefulSets up, down and along, in order."""

from __future__ import annotations

from copy import deepcopy

from kdist.api import meta, selectors
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.ownership import OWNER_INDEX, Owner, by_owner, candidates, is_terminating_namespace
from kdist.controllers.pods import utc_now
from kdist.controllers.revisions import History, NameTaken, Revisions
from kdist.controllers.statefulset import identity, plan
from kdist.controllers.writes import all_of


class StatefulSetController(Controller):
    """One key is one StatefulSet. Names are fixed, so a stale cache cannot make a pod twice."""

    name = "statefulset-controller"
    component = "statefulset-controller"

    def setup(self) -> None:
        """Watch StatefulSets, their pods, revisions and claims."""
        self._owner = Owner(self.client, STATEFUL_SETS, PODS)
        self._sets = self.watch(STATEFUL_SETS, self.enqueue)
        self._pods = self.watch(PODS, self._pod_changed, indexers={OWNER_INDEX: by_owner})
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS)
        history = self.watch(CONTROLLER_REVISIONS, indexers={OWNER_INDEX: by_owner})
        self._revisions = Revisions(self.client, history, STATEFUL_SETS, label="name")

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            ref = meta.controller_of(pod) if pod else None
            if pod and ref and ref["kind"] == STATEFUL_SETS.kind:
                self.queue.add(f"{meta.namespace(pod)}/{ref['name']}")
        if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
            for stateful_set in self._sets.list(meta.namespace(new)):
                if identity.ordinal(stateful_set, new) is not None:
                    self.queue.add(meta.key(stateful_set))

    async def reconcile(self, key: str) -> float | None:
        """One step, then report."""
        stateful_set = self._sets.get(key)
        if stateful_set is None or meta.is_deleting(stateful_set):
            return None
        selector = selectors.from_label_selector(stateful_set["spec"].get("selector"))
        found = [
            p for p in candidates(self._pods, stateful_set) if identity.ordinal(stateful_set, p) is not None
        ]
        pods = await self._owner.claim(stateful_set, selector, found)
        try:
            history = await self._revisions.sync(stateful_set)
        except NameTaken:
            status = deepcopy(stateful_set.get("status") or {"replicas": 0})
            status["collisionCount"] = (status.get("collisionCount") or 0) + 1
            await self._write_status(stateful_set, status)
            raise
        update = meta.name(history.current)
        current = self._current(stateful_set, history)
        now = utc_now()
        todo = plan.next_step(stateful_set, pods, current, update, now)
        await self._write_status(stateful_set, plan.status(stateful_set, pods, current, update, now))
        await self._apply(stateful_set, todo, history)
        live = {plan.revision_of(p) for p in pods} | {current, update}
        await self._revisions.clean_up(history, live, stateful_set["spec"].get("revisionHistoryLimit"))
        return self._look_again(stateful_set, pods)

    @staticmethod
    def _current(stateful_set: Obj, history: History) -> str:
        """status.currentRevision while that revision exists, else the newest."""
        name = meta.get(stateful_set, "status.currentRevision", "")
        known = {meta.name(r) for r in history.revisions}
        return name if name in known else meta.name(history.current)

    async def _apply(self, stateful_set: Obj, todo: plan.Plan, history: History) -> None:
        by_name = {meta.name(r): r for r in history.revisions}
        await self._keep_claims(stateful_set, todo)
        creations = [
            self._create(stateful_set, number, by_name[revision]) for number, revision in todo.create
        ]
        await all_of(creations)
        await all_of(self._mend(stateful_set, pod) for pod in todo.mend)
        await all_of(self._delete(stateful_set, pod) for pod in todo.delete)

    async def _create(self, stateful_set: Obj, number: int, revision: Obj) -> None:
        pod = identity.pod(stateful_set, number, revision)
        what = f"create Pod {meta.name(pod)} in StatefulSet {meta.name(stateful_set)}"
        try:
            await self._create_claims(stateful_set, meta.name(pod))
            await self.client.create(PODS, pod)
        except AlreadyExists as error:
            # The cache is old, or a foreign pod has the name: both show in the next event.
            raise Conflict(str(error)) from error
        except ApiError as error:
            if is_terminating_namespace(error):
                return
            text = f"{what} failed error: {error}"
            self.events.event(stateful_set, "Warning", "FailedCreate", text)
            raise
        self.events.event(stateful_set, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _create_claims(self, stateful_set: Obj, pod_name: str) -> None:
        for claim in identity.claims(stateful_set, pod_name):
            known = self._claims.get(meta.key(claim))
            if known is not None:
                if meta.is_deleting(known):
                    raise Conflict(f"claim {meta.key(claim)} is being deleted")
                continue
            owners = identity.claim_owners(stateful_set, claim, None, condemned=False)
            if owners:
                claim["metadata"]["ownerReferences"] = owners
            try:
                await self.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except AlreadyExists:
                continue

    async def _keep_claims(self, stateful_set: Obj, todo: plan.Plan) -> None:
        """Make the retention policy true before any pod goes."""
        condemned = {meta.uid(p): p for p in todo.condemned}
        for pod in (*todo.condemned, *todo.delete):
            for wanted in identity.claims(stateful_set, meta.name(pod)):
                claim = self._claims.get(meta.key(wanted))
                if claim is None:
                    continue
                owners = identity.claim_owners(stateful_set, claim, pod, meta.uid(pod) in condemned)
                if owners is not None:
                    metadata = {**claim["metadata"], "ownerReferences": owners}
                    await self.client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata})

    async def _mend(self, stateful_set: Obj, pod: Obj) -> None:
        await self._create_claims(stateful_set, meta.name(pod))
        labels = {identity.POD_NAME: meta.name(pod)}
        body = {"metadata": {"labels": labels, "uid": meta.uid(pod)}}
        await self.client.patch(PODS, meta.name(pod), body, meta.namespace(pod))

    async def _delete(self, stateful_set: Obj, pod: Obj) -> None:
        what = f"delete Pod {meta.name(pod)} in StatefulSet {meta.name(stateful_set)}"
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except NotFound:
            return
        self.events.event(stateful_set, "Normal", "SuccessfulDelete", f"{what} successful")

    async def _write_status(self, stateful_set: Obj, status: Obj) -> None:
        if status != (stateful_set.get("status") or {}):
            try:
                await self.client.update(
                    STATEFUL_SETS, {**stateful_set, "status": status}, subresource="status"
                )
            except NotFound:
                return

    @staticmethod
    def _look_again(stateful_set: Obj, pods: list[Obj]) -> float | None:
        """Availability comes by time alone."""
        min_ready = meta.get(stateful_set, "spec.minReadySeconds", 0)
        now = utc_now()
        waiting = any(not plan.is_healthy(stateful_set, p, now) for p in pods)
        return float(min_ready) if min_ready and waiting else None
