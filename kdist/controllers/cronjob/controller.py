"""Creates Jobs when their time has come, and keeps as many old ones as asked for."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, NotFound
from kdist.api.kinds import JOBS, Kind
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.cronjob.schedule import Schedule, ScheduleError, parse
from kdist.controllers.job.plan import finished_condition, is_finished
from kdist.controllers.ownership import OWNER_INDEX, by_owner, is_terminating_namespace
from kdist.controllers.pods import utc_now

CRON_JOBS = Kind("batch", "v1", "cronjobs", "CronJob")
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# More missed firings than this are worth a warning: the clock jumped, or the controller was away for long.
_MANY = 100


def due(cron_job: Obj, schedule: Schedule, now: datetime) -> tuple[datetime | None, int]:
    """The latest firing that has not been acted on, and how many there were (counted up to 101)."""
    created = meta.parse_time(cron_job["metadata"]["creationTimestamp"])
    last = meta.get(cron_job, "status.lastScheduleTime")
    earliest = meta.parse_time(last) if last else created
    deadline = meta.get(cron_job, "spec.startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=deadline))
    latest, missed = None, 0
    for moment in schedule.between(earliest, now):
        latest, missed = moment, missed + 1
        if missed > _MANY:
            # Too many to walk through: look from close to now, in growing steps back.
            return _latest(schedule, earliest, now), missed
    return latest, missed


def _latest(schedule: Schedule, earliest: datetime, now: datetime) -> datetime | None:
    span = timedelta(minutes=1)
    while span < now - earliest:
        if found := list(schedule.between(now - span, now)):
            return found[-1]
        span *= 4
    return None


def make_job(cron_job: Obj, moment: datetime) -> Obj:
    """The Job of one firing; its name is made of the minute, so that it cannot be created twice."""
    template = meta.get(cron_job, "spec.jobTemplate", {})
    about = template.get("metadata") or {}
    zone = meta.get(cron_job, "spec.timeZone")
    stamp = parse("* * * * *", zone).zone if zone else moment.tzinfo
    return {
        "metadata": {
            "name": f"{meta.name(cron_job)}-{int(moment.timestamp()) // 60}",
            "namespace": meta.namespace(cron_job),
            "labels": dict(about.get("labels") or {}),
            "annotations": {
                **(about.get("annotations") or {}),
                SCHEDULED_AT: moment.astimezone(stamp).isoformat().replace("+00:00", "Z"),
            },
            "ownerReferences": [meta.owner_ref(cron_job, CRON_JOBS)],
        },
        "spec": deepcopy(template.get("spec") or {}),
    }


class CronJobController(Controller):
    """One key is one CronJob."""

    name = "cronjob-controller"
    component = "cronjob-controller"

    def setup(self) -> None:
        """Watch CronJobs and Jobs."""
        self._cron_jobs = self.watch(CRON_JOBS, self.enqueue)
        self._jobs = self.watch(JOBS, self._job_changed, indexers={OWNER_INDEX: by_owner})

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        ref = meta.controller_of(new or old or {})
        if ref and ref["kind"] == CRON_JOBS.kind:
            self.queue.add(f"{meta.namespace(new or old or {})}/{ref['name']}")

    async def reconcile(self, key: str) -> float | None:
        """Note what has finished, start what is due, and come back for the next firing."""
        cron_job = self._cron_jobs.get(key)
        if cron_job is None:
            return None
        jobs = self._jobs.by_index(OWNER_INDEX, meta.uid(cron_job))
        status = self._note(cron_job, jobs)
        await self._clean_up(cron_job, jobs)
        again = None
        if not meta.is_deleting(cron_job) and not meta.get(cron_job, "spec.suspend"):
            try:
                schedule = parse(cron_job["spec"]["schedule"], cron_job["spec"].get("timeZone"))
            except ScheduleError as error:
                self.events.event(
                    cron_job, "Warning", "UnparseableSchedule", f"unparseable schedule: {error}"
                )
                return None
            await self._start_due(cron_job, schedule, status, jobs)
            following = schedule.after(utc_now())
            again = (following - utc_now()).total_seconds() + 0.1 if following else None
        if status != (cron_job.get("status") or {}):
            try:
                await self.client.update(CRON_JOBS, {**cron_job, "status": status}, subresource="status")
            except NotFound:
                return None
        return again

    def _note(self, cron_job: Obj, jobs: list[Obj]) -> Obj:
        """The status with the list of active Jobs brought up to date."""
        status: Obj = deepcopy(cron_job.get("status") or {})
        running = {meta.uid(j): j for j in jobs if not is_finished(j)}
        for ref in status.get("active") or ():
            job = next((j for j in jobs if meta.uid(j) == ref["uid"]), None)
            if job is None:
                self.events.event(cron_job, "Normal", "MissingJob", f"Active job went missing: {ref['name']}")
            elif condition := finished_condition(job):
                text = f"Saw completed job: {ref['name']}, condition: {condition['type']}"
                self.events.event(cron_job, "Normal", "SawCompletedJob", text)
        done = [meta.get(j, "status.completionTime") for j in jobs]
        latest = max((t for t in (*done, status.get("lastSuccessfulTime")) if t), default=None)
        if latest:
            status["lastSuccessfulTime"] = latest
        _set_active(status, list(running.values()))
        return status

    async def _start_due(self, cron_job: Obj, schedule: Schedule, status: Obj, jobs: list[Obj]) -> None:
        now = utc_now()
        moment, missed = due(cron_job, schedule, now)
        if missed > _MANY:
            text = (
                f"too many missed start times: {missed}. "
                "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            )
            self.events.event(cron_job, "Warning", "TooManyMissedTimes", text)
        if moment is None:
            return
        running = [j for j in jobs if not is_finished(j)]
        policy = meta.get(cron_job, "spec.concurrencyPolicy", "Allow")
        if policy == "Forbid" and running:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.events.event(cron_job, "Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            for job in running:
                await self._delete(cron_job, job)
            running = []
        try:
            job = await self.client.create(JOBS, make_job(cron_job, moment))
        except AlreadyExists:
            return
        except ApiError as error:
            if not is_terminating_namespace(error):
                self.events.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            return
        self.events.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        status["lastScheduleTime"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        _set_active(status, [*running, job])

    async def _clean_up(self, cron_job: Obj, jobs: list[Obj]) -> None:
        for kind, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = meta.get(cron_job, f"spec.{field}")
            if limit is None:
                continue
            finished = [j for j in jobs if (finished_condition(j) or {}).get("type") == kind]
            finished.sort(key=lambda j: meta.get(j, "status.startTime", ""))
            for job in finished[: max(0, len(finished) - limit)]:
                await self._delete(cron_job, job)

    async def _delete(self, cron_job: Obj, job: Obj) -> None:
        try:
            await self.client.delete(JOBS, meta.name(job), meta.namespace(job), propagation="Background")
        except NotFound:
            return
        self.events.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")


def _set_active(status: Obj, jobs: list[Obj]) -> None:
    refs = [
        {
            "kind": JOBS.kind,
            "apiVersion": JOBS.api_version,
            "namespace": meta.namespace(j),
            "name": meta.name(j),
            "uid": meta.uid(j),
            "resourceVersion": meta.resource_version(j),
        }
        for j in sorted(jobs, key=meta.name)
    ]
    known = {r["uid"] for r in status.get("active") or ()}
    if known != {r["uid"] for r in refs}:
        status["active"] = refs
    if not refs:
        status.pop("active", None)
