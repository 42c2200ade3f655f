"""Runs the pods of Jobs until enough have succeeded or too many have failed."""

from __future__ import annotations

from kdist.api import meta, selectors
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import JOBS, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.expectations import Expectations
from kdist.controllers.job import indexes, plan, policy
from kdist.controllers.job.status import status as new_status
from kdist.controllers.ownership import OWNER_INDEX, Owner, by_owner, candidates, is_terminating_namespace
from kdist.controllers.pods import is_active, utc_now
from kdist.controllers.replicaset.plan import BURST, batches
from kdist.controllers.writes import all_of

_STRAY = "stray:"


class JobController(Controller):
    """One key is one Job, or ``stray:KEY`` a pod that lost its Job but still carries our finalizer."""

    name = "job-controller"
    component = "job-controller"

    def setup(self) -> None:
        """Watch Jobs and their pods."""
        self._expectations = Expectations()
        self._owner = Owner(self.client, JOBS, PODS)
        self._jobs = self.watch(JOBS, self._job_changed)
        self._pods = self.watch(PODS, self._pod_changed, indexers={OWNER_INDEX: by_owner})

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        self.enqueue(old, new)
        if new is None and old is not None:
            for pod in self._pods.by_index(OWNER_INDEX, meta.uid(old)):
                self._enqueue_stray(pod)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._expectations.saw(old, new)
        for pod in (old, new):
            ref = meta.controller_of(pod) if pod else None
            if pod and ref and ref["kind"] == JOBS.kind and ref["apiVersion"] == JOBS.api_version:
                self.queue.add(f"{meta.namespace(pod)}/{ref['name']}")
        if new is not None and plan.is_tracked(new):
            ref = meta.controller_of(new)
            if ref is None or self._jobs.get(f"{meta.namespace(new)}/{ref['name']}") is None:
                self._enqueue_stray(new)

    def _enqueue_stray(self, pod: Obj) -> None:
        if plan.is_tracked(pod):
            self.queue.add(_STRAY + meta.key(pod))

    async def reconcile(self, key: str) -> float | None:
        """Count, create or delete, and report."""
        if key.startswith(_STRAY):
            return await self._free_stray(key.removeprefix(_STRAY))
        job = self._jobs.get(key)
        if job is None:
            self._expectations.forget(key)
            return None
        selector = selectors.from_label_selector(job["spec"].get("selector"))
        pods = await self._owner.claim(job, selector, candidates(self._pods, job))
        if plan.is_finished(job) or meta.is_deleting(job):
            await all_of(self._untrack(p) for p in pods if plan.is_tracked(p))
            return None
        return await self._sync(key, job, pods)

    async def _sync(self, key: str, job: Obj, pods: list[Obj]) -> float | None:
        now = utc_now()
        standing = plan.survey(job, pods)
        ending = plan.end(job, standing, now)
        active, wait = len(standing.active), None
        failure: ApiError | None = None
        if self._expectations.satisfied(key):
            try:
                active, wait = await self._manage(key, job, pods, standing, ending)
            except ApiError as error:
                failure = error
        report = new_status(job, standing, active, ending, meta.now())
        if report != (job.get("status") or {}):
            try:
                await self.client.update(JOBS, {**job, "status": report}, subresource="status")
            except NotFound:
                return None
            self._tell(job, report)
        # Only now: a pod that vanishes before it is written down would never be counted.
        await all_of(self._untrack(p) for p in standing.release)
        if failure is not None and not is_terminating_namespace(failure):
            raise failure
        left = plan.deadline_in(job, now)
        return min((w for w in (wait, left) if w is not None and w > 0), default=None)

    async def _manage(
        self, key: str, job: Obj, pods: list[Obj], standing: plan.Standing, ending: plan.End | None
    ) -> tuple[int, float | None]:
        """Create and delete; (active pods afterwards, seconds until a replacement may be created)."""
        active = len(standing.active)
        wanted = 0 if ending else plan.wanted(job, standing)
        if active > wanted:
            doomed = plan.surplus(standing, active - wanted)
            with self._expectations.writing():
                await all_of(self._delete(key, job, pod) for pod in doomed[:BURST])
            return active - len(doomed[:BURST]), None
        gap = wanted - active
        if plan.replaces_failed_only(job):
            gap -= standing.terminating
        if gap <= 0:
            return active, None
        if wait := self._backoff(standing, pods):
            return active, wait
        return active + await self._create_some(key, job, standing, pods, min(gap, BURST)), None

    @staticmethod
    def _backoff(standing: plan.Standing, pods: list[Obj]) -> float:
        """Failures since the last success delay the next pod."""
        ends = [(policy.finished_at(p), meta.get(p, "status.phase")) for p in pods if not is_active(p)]
        last_success = max((t for t, phase in ends if t and phase == "Succeeded"), default=None)
        failures = [t for t, phase in ends if t and phase == "Failed"]
        recent = [t for t in failures if last_success is None or t > last_success]
        return policy.backoff(len(recent), max(recent, default=None), utc_now())

    async def _create_some(
        self, key: str, job: Obj, standing: plan.Standing, pods: list[Obj], number: int
    ) -> int:
        places: list[int | None] = [None] * number
        if plan.is_indexed(job):
            busy = {i for p in standing.active if (i := indexes.of(p)) is not None}
            taken = busy | standing.succeeded_indexes | standing.failed_indexes
            places = list(indexes.missing(number, job["spec"]["completions"], taken))
        created = len(places)
        with self._expectations.writing():
            for size in batches(len(places)):
                part, places = places[:size], places[size:]
                await all_of(self._create(key, job, index, _failures(pods, index)) for index in part)
        return created

    async def _create(self, key: str, job: Obj, index: int | None, failures: int) -> None:
        try:
            pod = await self.client.create(PODS, plan.pod(job, index, failures))
        except ApiError as error:
            if not is_terminating_namespace(error):
                self.events.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._expectations.created(key, pod)
        self.events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _delete(self, key: str, job: Obj, pod: Obj) -> None:
        # A pod that is deleted on purpose is not a failure: it is not to be counted.
        try:
            await self._untrack(pod)
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except NotFound:
            return
        self._expectations.deleted(key, pod)
        self.events.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _untrack(self, pod: Obj) -> None:
        body = {"metadata": {"uid": meta.uid(pod), "$deleteFromPrimitiveList/finalizers": [plan.TRACKING]}}
        try:
            await self.client.patch(PODS, meta.name(pod), body, meta.namespace(pod), type="strategic")
        except NotFound:
            return

    async def _free_stray(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or not plan.is_tracked(pod):
            return None
        ref = meta.controller_of(pod)
        if ref is not None and ref["kind"] == JOBS.kind:
            try:
                job = await self.client.get(JOBS, ref["name"], meta.namespace(pod))
            except NotFound:
                job = None
            if job is not None and meta.uid(job) == ref["uid"]:
                return None
        await self._untrack(pod)
        return None

    def _tell(self, job: Obj, report: Obj) -> None:
        before = {c["type"] for c in meta.get(job, "status.conditions", ()) if c["status"] == "True"}
        for condition in report.get("conditions") or ():
            if condition["status"] != "True" or condition["type"] in before:
                continue
            if condition["type"] == "Complete":
                self.events.event(job, "Normal", "Completed", "Job completed")
            elif condition["type"] == "Failed":
                self.events.event(job, "Warning", condition["reason"], condition["message"])
            elif condition["type"] == "Suspended":
                self.events.event(job, "Normal", "Suspended", "Job suspended")


def _failures(pods: list[Obj], index: int | None) -> int:
    """How often the index has failed so far, as told by its pods."""
    if index is None:
        return 0
    told = [
        int(meta.annotations(p).get(plan.INDEX_FAILURES, "0")) + 1
        for p in pods
        if indexes.of(p) == index and not is_active(p)
    ]
    return max(told, default=0)
