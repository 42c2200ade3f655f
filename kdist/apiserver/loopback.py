"""The registry as the server's own parts see it: below authentication and admission.

:class:`CacheReader` and :class:`RegistryWriter` are the two protocols of :mod:`kdist.apiserver.ports`.
"""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import BadRequest, ServiceUnavailable
from kdist.api.kinds import (
    ENDPOINTS,
    LEASES,
    NAMESPACES,
    NODES,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
    Kind,
)
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.apiserver import objectmeta
from kdist.apiserver.call import copy
from kdist.apiserver.core import Core
from kdist.apiserver.ports import Changed
from kdist.apiserver.store import Store
from kdist.storage.watchcache import BrokenEntry, Change, WatchCache
from kdist.telemetry import log

_log = log.get(__name__)

# What authentication and admission look up by name, besides what they follow by on_change.
_LOOKED_UP = (
    NAMESPACES,
    NODES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    ENDPOINTS,
    PRIORITY_CLASSES,
    STORAGE_CLASSES,
    LEASES,
    Kind("", "v1", "limitranges", "LimitRange"),
    Kind("", "v1", "resourcequotas", "ResourceQuota"),
    Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False),
    Kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
)


def resource_of(core: Core, kind: Kind) -> Resource:
    """The served resource of a kind. BadRequest when the API level does not have it."""
    resource = core.scheme.by_path(kind.group, kind.version, kind.plural)
    if resource is None:
        raise BadRequest(f"{kind.api_version} {kind.kind} is not served")
    return resource


class CacheReader:
    """Reads from the watch caches. :meth:`start` loads them, before the first request."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pending: list[tuple[Kind, Changed]] = []
        self._caches: dict[Kind, tuple[Store, WatchCache]] = {}

    async def start(self) -> None:
        """Load what is read here and attach the listeners."""
        for kind in dict.fromkeys((*_LOOKED_UP, *(kind for kind, _ in self._pending))):
            await self._load(kind)
        pending, self._pending = self._pending, []
        for kind, callback in pending:
            self._listen(kind, callback)

    async def _load(self, kind: Kind) -> None:
        store = self._core.store(resource_of(self._core, kind))
        self._caches[kind] = (store, await store.cache())

    def _cache(self, kind: Kind) -> tuple[Store, WatchCache]:
        try:
            return self._caches[kind]
        except KeyError:
            return self._late(kind)

    def _late(self, kind: Kind) -> tuple[Store, WatchCache]:
        store = self._core.store(resource_of(self._core, kind))
        cache = self._core.hub.loaded(store.resource.storage_prefix)
        if cache is None:
            raise ServiceUnavailable(f"{kind.plural} are not loaded yet", details={"retryAfterSeconds": 1})
        self._caches[kind] = (store, cache)
        return store, cache

    def get(self, kind: Kind, namespace: str | None, name: str) -> Obj | None:
        """See the protocol."""
        store, cache = self._cache(kind)
        entry = cache.get(store.key(namespace or "", name))
        return store.read(entry) if entry else None

    def list(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        """See the protocol."""
        store, cache = self._cache(kind)
        scope = f"{namespace}/" if namespace and kind.namespaced else ""
        return [store.read(entry) for entry in cache.entries(scope)]

    def on_change(self, kind: Kind, callback: Changed) -> None:
        """See the protocol; before :meth:`start` the callback waits for it."""
        if kind in self._caches:
            self._listen(kind, callback)
        else:
            self._pending.append((kind, callback))

    def _listen(self, kind: Kind, callback: Changed) -> None:
        store, cache = self._caches[kind]

        def changed(change: Change) -> None:
            namespace, name = store.resource_key(change.key)
            if isinstance(change.after, BrokenEntry):  # what was known of it goes on to hold
                _log.error("an object cannot be read", key=change.key, error=change.after.error)
                return
            callback(namespace, name, store.read(change.after) if change.after else None)

        cache.listen(changed)


class CacheLookup:
    """Reads of any served kind from its watch cache, which is loaded when it is first asked."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        store = self._core.store(resource_of(self._core, kind))
        entry = (await store.cache()).get(store.key(namespace, name))
        return store.read(entry) if entry else None

    async def find_all(self, kind: Kind, namespace: str) -> list[Obj]:
        """All objects, of one namespace if there is one."""
        store = self._core.store(resource_of(self._core, kind))
        scope = f"{namespace}/" if namespace and kind.namespaced else ""
        return [store.read(entry) for entry in (await store.cache()).entries(scope)]


class RegistryWriter:
    """Writes through the pipeline without admission, and reads what storage has now."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Obj:
        """See the protocol."""
        return await self._core.store(resource_of(self._core, kind)).get(namespace or "", name)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """See the protocol."""
        resource = resource_of(self._core, kind)
        new = copy(obj)
        objectmeta.place(new, resource, meta.namespace(obj))
        return (await self._core.inner_pipeline(resource).create(new)).obj

    async def update(self, kind: Kind, obj: Obj, *, subresource: str | None = None) -> Obj:
        """See the protocol."""
        resource = resource_of(self._core, kind)

        async def replace(_: Obj) -> Obj:
            return copy(obj)

        stored, _ = await self._core.inner_pipeline(resource).update(
            meta.namespace(obj), meta.name(obj), replace, subresource=subresource or ""
        )
        return stored.obj
