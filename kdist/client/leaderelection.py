"""Leader election with a coordination Lease: at most one of several processes leads at a time.

Safety rests on clocks that run at about the same speed, not on clocks that agree: a candidate waits until the
record has not changed for a whole lease *by its own clock*, and a leader that could not renew for
``renew_seconds`` (shorter than the lease) stops leading before anybody else may start.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from copy import deepcopy

from kdist.api import meta
from kdist.api.errors import ApiError, Conflict, NotFound
from kdist.api.kinds import LEASES
from kdist.api.meta import Obj
from kdist.client.rest import Client, Unreachable
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time: the process must stop acting, usually by ending."""


def may_take(lease: Obj | None, identity: str, seconds_unchanged: float) -> bool:
    """Whether a candidate may write itself into the lease: it is free, its own, or expired."""
    spec = (lease or {}).get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    return holder in ("", identity) or seconds_unchanged > (spec.get("leaseDurationSeconds") or 0)


def taken(lease: Obj, identity: str, lease_seconds: int, now: str) -> Obj:
    """The lease as written by its (old or new) holder; a change of holder counts as a transition."""
    changed = deepcopy(lease)
    spec = changed.setdefault("spec", {})
    if spec.get("holderIdentity") != identity:
        first = "leaseTransitions" not in spec
        spec["leaseTransitions"] = 0 if first else (spec["leaseTransitions"] or 0) + 1
        spec["acquireTime"] = now
    spec.update(holderIdentity=identity, leaseDurationSeconds=lease_seconds, renewTime=now)
    return changed


class LeaderElector:
    """One candidate. All durations are seconds; ``retry_seconds`` is also how often a leader renews."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        namespace: str,
        identity: str,
        lease_seconds: int = 15,
        renew_seconds: float = 10,
        retry_seconds: float = 2,
    ) -> None:
        self._client = client
        self._name, self._namespace, self._identity = name, namespace, identity
        self._lease_seconds, self._renew_seconds = lease_seconds, renew_seconds
        self._retry_seconds = retry_seconds
        self._seen: Obj | None = None
        self._seen_at = 0.0
        self.leading = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Become the leader, then run ``lead``; when it ends or is cancelled, let go of the lease.

        Raises LeadershipLost, after ``lead`` was cancelled and has ended.
        """
        await self._acquire()
        self.leading = True
        log.info("leading", lease=f"{self._namespace}/{self._name}", identity=self._identity)
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # First stop acting, then let the next one act.
            await _end(leading)
            self.leading = False
            lost = renewing.done()
            await _end(renewing)
            if not lost:
                await self._release()
        if renewing.done() and not renewing.cancelled():
            renewing.result()
        leading.result()

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(self._retry_seconds * (1 + 0.2 * random.random()))

    async def _renew(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._retry_seconds)
            left = renewed + self._renew_seconds - time.monotonic()
            if left <= 0:
                raise LeadershipLost(f"the lease {self._namespace}/{self._name} could not be renewed")
            started = time.monotonic()
            try:
                if await asyncio.wait_for(self._try(), left):
                    renewed = started
            except TimeoutError:
                continue

    async def _try(self) -> bool:
        """One attempt to take or renew; False when somebody else holds the lease or nobody answers."""
        try:
            if not self.leading:
                self._observe(await self._read())
            if not may_take(self._seen, self._identity, time.monotonic() - self._seen_at):
                return False
            self._observe(await self._write())
        except (ApiError, Unreachable) as error:
            log.warning("lease not taken", lease=f"{self._namespace}/{self._name}", error=error)
            await self._look_again()
            return False
        return True

    async def _look_again(self) -> None:
        """After a failed write of the leader: somebody changed the lease, learn what it is now."""
        if self.leading:
            try:
                self._observe(await self._read())
            except (ApiError, Unreachable) as error:
                log.warning("lease not read", error=error)

    async def _read(self) -> Obj | None:
        try:
            return await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return None

    async def _write(self) -> Obj:
        now = meta.now_micro()
        if self._seen is None:
            empty: Obj = {"metadata": {"name": self._name, "namespace": self._namespace}}
            return await self._client.create(LEASES, taken(empty, self._identity, self._lease_seconds, now))
        return await self._client.update(LEASES, taken(self._seen, self._identity, self._lease_seconds, now))

    def _observe(self, lease: Obj | None) -> None:
        if (lease or {}).get("spec") != (self._seen or {}).get("spec"):
            self._seen_at = time.monotonic()
        self._seen = lease

    async def _release(self) -> None:
        try:
            try:
                await self._free()
            except Conflict:
                # A renewal that was cut off had reached the server all the same: free what it wrote.
                self._observe(await self._read())
                await self._free()
        except (ApiError, Unreachable) as error:
            log.warning("lease not released", lease=f"{self._namespace}/{self._name}", error=error)

    async def _free(self) -> None:
        if self._seen is None or self._seen["spec"].get("holderIdentity") != self._identity:
            return
        free, now = deepcopy(self._seen), meta.now_micro()
        free["spec"].update(holderIdentity="", leaseDurationSeconds=1, renewTime=now, acquireTime=now)
        await self._client.update(LEASES, free)


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel and wait; what the task raised stays in it for the caller to look at."""
    task.cancel()
    await asyncio.wait((task,))
