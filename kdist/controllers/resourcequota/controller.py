"""Counts what namespaces use and writes it to their quotas: upwards admission charges, downwards this counts."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.controllers.base import Controller
from kdist.controllers.resourcequota import plan
from kdist.controllers.resourcequota.tally import Tally, namespace_of

RESOURCE_QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
# Counting again undoes charges for objects that were never stored.
RECOUNT_SECONDS = 60.0
# A burst of deletions is counted once; what was charged a moment ago has reached the caches.
SETTLE_SECONDS = 0.2
NOT_LISTED_SECONDS = 0.5
# A quota may come before the definition of the custom resource that it limits.
NOT_SERVED_SECONDS = 15.0


class ResourceQuotaController(Controller):
    """One key is one quota."""

    name = "resourcequota-controller"

    def setup(self) -> None:
        """Watch quotas; what they limit is watched when the first quota limits it."""
        self._quotas = self.watch(RESOURCE_QUOTAS, self._quota_changed)
        self._tally = Tally(self.client, self._object_changed, self._whole)

    def _whole(self, kind: Kind) -> Informer:
        return self._factory.of(kind)

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """The tally owns the copies that nobody else needs."""
        return (self._tally.run(),)

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        # Each charge of admission changes the status: that is no reason to count.
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self.enqueue(old, new)

    def _object_changed(self, at: plan.Coordinates, old: Obj | None, new: Obj | None) -> None:
        if not plan.shrinks(*at, old, new, datetime.now(UTC)):
            return
        for quota in self._quotas.list(namespace_of(old, new)):
            if at in plan.resources([quota]):
                self.queue.add_after(meta.key(quota), SETTLE_SECONDS)

    async def reconcile(self, key: str) -> float | None:
        """Count for one quota, again every minute."""
        await self._tally.follow(plan.resources(self._quotas.list()))
        quota = self._quotas.get(key)
        if quota is None:
            return None
        wanted = plan.resources([quota])
        if not self._tally.ready(wanted):
            return NOT_LISTED_SECONDS
        objects = self._tally.objects(wanted, meta.namespace(quota))
        status = plan.status(quota, objects, datetime.now(UTC))
        if plan.differs(quota, status):
            try:
                await self.client.update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
            except NotFound:
                return None
        return RECOUNT_SECONDS if objects.keys() == wanted else NOT_SERVED_SECONDS
