"""The one worker loop: takes keys, reconciles, and owns retries, back-off and the logging of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kdist.api.errors import ApiError, Conflict
from kdist.client.rest import Unreachable
from kdist.client.workqueue import ShutDown, WorkQueue
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

# Seconds after which the key is wanted again, or None.
Reconcile = Callable[[str], Awaitable[float | None]]


async def run_workers(queue: WorkQueue, reconcile: Reconcile, *, workers: int = 1, name: str) -> None:
    """Work on keys until the queue is shut down or the task is cancelled.

    A reconcile that raises is tried again with growing delay; a Conflict means that the local copy was old,
    which the next event mends, so it is not worth a line in the log.
    """
    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_work(queue, reconcile, name), name=f"{name}-{number}")


async def _work(queue: WorkQueue, reconcile: Reconcile, name: str) -> None:
    while True:
        try:
            key = await queue.get()
        except ShutDown:
            return
        token = telemetry_log.context.set({"controller": name, "object": key})
        try:
            await _attempt(queue, reconcile, key)
        finally:
            telemetry_log.context.reset(token)
            queue.done(key)


async def _attempt(queue: WorkQueue, reconcile: Reconcile, key: str) -> None:
    try:
        again_after = await reconcile(key)
    except Conflict as error:
        log.debug("conflict, trying again", error=error)
        queue.add_rate_limited(key)
    except (ApiError, Unreachable) as error:
        log.warning("reconcile failed", error=error)
        queue.add_rate_limited(key)
    except Exception:  # the supervisor: a defect with one object must not stop the others
        log.error("reconcile failed", exc_info=True)
        queue.add_rate_limited(key)
    else:
        queue.forget(key)
        if again_after is not None:
            queue.add_after(key, again_after)
