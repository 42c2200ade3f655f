"""Counts what a namespace uses and writes it into the status of its ResourceQuotas.

Admission only ever adds to ``status.used``; here it is counted anew, which is how deletions are noticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICATION_CONTROLLERS,
    SECRETS,
    SERVICES,
    Kind,
)
from kdist.api.meta import Obj
from kdist.client.informer import Handler
from kdist.controllers.base import Controller
from kdist.controllers.discovery import discover
from kdist.controllers.resourcequota import plan
from kdist.controllers.resourcequota.plan import Usage

RESOURCE_QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
# What no watch tells (counts of other resources) is counted again after this.
RESYNC_SECONDS = 30.0
# Changes come in bursts; one count serves them all.
_SETTLE_SECONDS = 0.2
# Resources counted from a watch, by their short names in a quota.
_WATCHED = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS, REPLICATION_CONTROLLERS, CONFIG_MAPS, SECRETS)
_BY_METADATA = (CONFIG_MAPS, SECRETS)


class ResourceQuotaController(Controller):
    """One key is one ResourceQuota."""

    name = "resourcequota-controller"
    component = "resourcequota-controller"

    def setup(self) -> None:
        """Watch quotas and what is counted most."""
        self._quotas = self.watch(RESOURCE_QUOTAS, self._quota_changed)
        self._informers = {
            kind: self.watch(kind, self._handler(kind), metadata_only=kind in _BY_METADATA)
            for kind in _WATCHED
        }

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        if meta.get(old, "spec") != meta.get(new, "spec") or meta.get(old, "status") != meta.get(
            new, "status"
        ):
            self.enqueue(old, new)

    def _handler(self, kind: Kind) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if old is not None and new is not None and kind is PODS and _cost(old) == _cost(new):
                return
            for quota in self._quotas.list(meta.namespace(new or old or {})):
                self.queue.add_after(meta.key(quota), _SETTLE_SECONDS)

        return changed

    async def reconcile(self, key: str) -> float | None:
        """Count and report."""
        quota = self._quotas.get(key)
        if quota is None or meta.is_deleting(quota):
            return None
        hard = meta.get(quota, "spec.hard", {})
        counted = await self._count_others(meta.namespace(quota), hard)
        used = plan.used(quota, [*self._usages(quota), counted])
        status = {"hard": hard, "used": used}
        if status != quota.get("status"):
            try:
                await self.client.update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
            except NotFound:
                return None
        return RESYNC_SECONDS if counted or self._others(hard) else None

    def _usages(self, quota: Obj) -> Iterable[Usage]:
        namespace = meta.namespace(quota)
        for pod in self._informers[PODS].list(namespace):
            if plan.in_scope(quota, pod):
                yield plan.pod_usage(pod)
        if meta.get(quota, "spec.scopes") or meta.get(quota, "spec.scopeSelector"):
            return  # a quota with scopes counts pods only
        yield from (plan.service_usage(s) for s in self._informers[SERVICES].list(namespace))
        yield from (plan.claim_usage(c) for c in self._informers[PERSISTENT_VOLUME_CLAIMS].list(namespace))
        here = {kind: 1000 * len(self._informers[kind].list(namespace)) for kind in _WATCHED}
        plain = {kind.plural: here[kind] for kind in (REPLICATION_CONTROLLERS, *_BY_METADATA)}
        yield Counter(plain)
        yield Counter({f"count/{kind.plural}": here[kind] for kind in _WATCHED if kind is not PODS})
        yield Counter({"resourcequotas": 1000 * len(self._quotas.list(namespace))})

    @staticmethod
    def _others(hard: Obj) -> list[str]:
        """The ``count/RESOURCE.GROUP`` entries that no watch covers."""
        known = {f"count/{kind.plural}" for kind in _WATCHED}
        return [name for name in hard if name.startswith("count/") and name not in known]

    async def _count_others(self, namespace: str, hard: Obj) -> Usage:
        usage: Usage = Counter()
        others = self._others(hard)
        if not others:
            return usage
        catalog = await discover(self.client)
        by_name = {f"{s.kind.plural}.{s.kind.group}".rstrip("."): s.kind for s in catalog.resources}
        for name in others:
            kind = by_name.get(name.removeprefix("count/"))
            if kind is None:
                continue
            found = await self.client.list(kind, namespace, metadata_only=True)
            usage[name] = 1000 * len(found.items)
        return usage


def _cost(pod: Obj) -> tuple[bool, object]:
    """All of a pod that a quota can count."""
    return pods.is_terminal(pod), pod["spec"]
