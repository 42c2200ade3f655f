"""Keeps one pod of each DaemonSet on every node that fits, and replaces old ones a few at a time."""

from __future__ import annotations

from kdist.api import meta, selectors
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.daemonset import plan
from kdist.controllers.expectations import Expectations
from kdist.controllers.ownership import OWNER_INDEX, Owner, by_owner, candidates, is_terminating_namespace
from kdist.controllers.pods import utc_now
from kdist.controllers.replicaset.plan import BURST, batches
from kdist.controllers.revisions import NameTaken, Revisions, label_of
from kdist.controllers.writes import all_of

# A daemon that fails again and again on a node is replaced with growing delay, up to this many seconds.
LONGEST_BACKOFF = 900.0


class DaemonSetController(Controller):
    """One key is one DaemonSet."""

    name = "daemonset-controller"
    component = "daemonset-controller"
    workers = 2

    def setup(self) -> None:
        """Watch DaemonSets, their pods and revisions, and nodes."""
        self._expectations = Expectations()
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        self._owner = Owner(self.client, DAEMON_SETS, PODS)
        self._sets = self.watch(DAEMON_SETS, self.enqueue)
        history = self.watch(CONTROLLER_REVISIONS, indexers={OWNER_INDEX: by_owner})
        self._revisions = Revisions(self.client, history, DAEMON_SETS, label="hash")
        self._pods = self.watch(PODS, self._pod_changed, indexers={OWNER_INDEX: by_owner})
        self._nodes = self.watch(NODES, self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._expectations.saw(old, new)
        for pod in (old, new):
            ref = meta.controller_of(pod) if pod else None
            if pod and ref and ref["kind"] == DAEMON_SETS.kind and ref["apiVersion"] == "apps/v1":
                self.queue.add(f"{meta.namespace(pod)}/{ref['name']}")
        if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
            for daemon_set in self._sets.list(meta.namespace(new)):
                if _selector(daemon_set).matches(meta.labels(new)):
                    self.queue.add(meta.key(daemon_set))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _seen_of(old) == _seen_of(new):
            return
        for daemon_set in self._sets.list():
            before, after = (plan.fit(daemon_set, n) if n else None for n in (old, new))
            if before != after:
                self.queue.add(meta.key(daemon_set))

    async def reconcile(self, key: str) -> float | None:
        """Create, delete, roll on, report."""
        daemon_set = self._sets.get(key)
        if daemon_set is None:
            self._expectations.forget(key)
            return None
        selector = _selector(daemon_set)
        if selector.everything or meta.is_deleting(daemon_set):
            return None
        try:
            history = await self._revisions.sync(daemon_set)
        except NameTaken:
            count = meta.get(daemon_set, "status.collisionCount", 0) + 1
            await self._write_status(daemon_set, {**daemon_set["status"], "collisionCount": count})
            raise
        revision = label_of(history.current)
        pods = await self._owner.claim(daemon_set, selector, candidates(self._pods, daemon_set))
        nodes, grouped = self._nodes.list(), plan.by_node(pods)
        if self._expectations.satisfied(key):
            await self._step(key, daemon_set, nodes, grouped, revision)
        used = {meta.labels(p).get("controller-revision-hash") for p in pods}
        live = {meta.name(r) for r in history.revisions if label_of(r) in used}
        limit = daemon_set["spec"].get("revisionHistoryLimit")
        await self._revisions.clean_up(history, live, limit)
        status = plan.status(daemon_set, nodes, grouped, revision, utc_now())
        await self._write_status(daemon_set, status)
        return self._look_again(daemon_set, status)

    async def _step(
        self, key: str, daemon_set: Obj, nodes: list[Obj], grouped: dict[str, list[Obj]], revision: str
    ) -> None:
        surge = bool(plan.limits(daemon_set, len(nodes)).surge)
        todo = plan.manage(daemon_set, nodes, grouped, surge)
        if not (todo.create or todo.delete) and _is_rolling(daemon_set):
            todo = plan.roll(daemon_set, nodes, grouped, revision, utc_now())
        for pod in todo.failed:
            text = f"Found failed daemon pod {meta.key(pod)} on node {plan.node_of(pod)}, will try to kill it"
            self.events.event(daemon_set, "Warning", "FailedDaemonPod", text)
        delayed = self._hold_back(key, todo)
        await self._apply(key, daemon_set, todo, revision)
        if delayed:
            self.queue.add_after(key, delayed)

    def _hold_back(self, key: str, todo: plan.Plan) -> float:
        """Take failed pods whose back-off has not ended out of the plan; seconds until the first does."""
        now, waits = self._clock(), []
        for pod in todo.failed:
            place = (key, plan.node_of(pod))
            count, until = self._failures.get(place, (0, 0.0))
            if now < until:
                todo.delete = [p for p in todo.delete if meta.uid(p) != meta.uid(pod)]
                waits.append(until - now)
                continue
            idle = now - until > 2 * LONGEST_BACKOFF
            count = 0 if idle else count
            self._failures[place] = (count + 1, now + min(LONGEST_BACKOFF, 2.0**count))
        return min(waits, default=0.0)

    @staticmethod
    def _clock() -> float:
        return utc_now().timestamp()

    async def _apply(self, key: str, daemon_set: Obj, todo: plan.Plan, revision: str) -> None:
        nodes = todo.create[:BURST]
        with self._expectations.writing():
            for size in batches(len(nodes)):
                part, nodes = nodes[:size], nodes[size:]
                await all_of(self._create(key, daemon_set, node, revision) for node in part)
            await all_of(self._delete(key, daemon_set, pod) for pod in todo.delete[:BURST])

    async def _create(self, key: str, daemon_set: Obj, node: str, revision: str) -> None:
        try:
            pod = await self.client.create(PODS, plan.pod(daemon_set, node, revision))
        except ApiError as error:
            if is_terminating_namespace(error):
                return
            self.events.event(daemon_set, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._expectations.created(key, pod)
        self.events.event(daemon_set, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _delete(self, key: str, daemon_set: Obj, pod: Obj) -> None:
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except NotFound:
            return
        self._expectations.deleted(key, pod)
        self.events.event(daemon_set, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _write_status(self, daemon_set: Obj, status: Obj) -> None:
        if status != (daemon_set.get("status") or {}):
            try:
                await self.client.update(DAEMON_SETS, {**daemon_set, "status": status}, subresource="status")
            except NotFound:
                return

    @staticmethod
    def _look_again(daemon_set: Obj, status: Obj) -> float | None:
        min_ready = meta.get(daemon_set, "spec.minReadySeconds", 0)
        waiting = status["numberReady"] != status.get("numberAvailable", 0)
        return float(min_ready) if min_ready and waiting else None


def _selector(daemon_set: Obj) -> selectors.LabelSelector:
    return selectors.from_label_selector(daemon_set["spec"].get("selector"))


def _is_rolling(daemon_set: Obj) -> bool:
    return bool(meta.get(daemon_set, "spec.updateStrategy.type") != "OnDelete")


def _seen_of(node: Obj) -> tuple[object, ...]:
    return meta.labels(node), meta.get(node, "spec.taints"), meta.get(node, "spec.unschedulable")
