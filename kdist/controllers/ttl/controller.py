"""Deletes finished Jobs when ``ttlSecondsAfterFinished`` is over."""

from __future__ import annotations

from datetime import timedelta

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import JOBS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.job.plan import finished_condition
from kdist.controllers.pods import utc_now


def expires_in(job: Obj) -> float | None:
    """Seconds until the Job is to be deleted; None when it is not, or has not finished."""
    seconds, condition = meta.get(job, "spec.ttlSecondsAfterFinished"), finished_condition(job)
    if seconds is None or condition is None or meta.is_deleting(job):
        return None
    end = meta.parse_time(condition["lastTransitionTime"]) + timedelta(seconds=seconds)
    return (end - utc_now()).total_seconds()


class TtlAfterFinishedController(Controller):
    """One key is one Job."""

    name = "ttl-after-finished-controller"

    def setup(self) -> None:
        """Watch Jobs."""
        self._jobs = self.watch(JOBS, self.enqueue)

    async def reconcile(self, key: str) -> float | None:
        """Wait or delete; the live Job decides, since its TTL may have been raised a moment ago."""
        cached = self._jobs.get(key)
        left = expires_in(cached) if cached else None
        if cached is None or left is None or left > 0:
            return left
        namespace, name = meta.split_key(key)
        try:
            job = await self.client.get(JOBS, name, namespace)
            left = expires_in(job)
            if left is None or left > 0:
                return left
            await self.client.delete(
                JOBS,
                name,
                namespace,
                propagation="Foreground",
                uid=meta.uid(cached),
                resource_version=meta.resource_version(job),
            )
        except NotFound:
            return None
        return None
