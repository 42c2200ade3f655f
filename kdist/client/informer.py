"""A local copy of a collection, kept current by list and watch, with handlers that are told of changes.

The copy follows the server: it resumes the watch from the last revision seen, lists again when that revision
is too old (410) or the watch fails, and tells handlers of what vanished meanwhile. Handlers get
``(old, new)``; ``old`` is None for a new object, ``new`` is None for one that is gone (then ``old`` is the last
state known). They are synchronous and must only enqueue keys. Objects are shared: copy before changing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from kdist.api import meta
from kdist.api.errors import ApiError, Expired, Gone
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.backoff import Backoff
from kdist.client.rest import Client, Unreachable
from kdist.client.store import IndexFunc, Objs, Store
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

# Seconds between tries while the API server is away: a cluster that comes up, or back, must not wait for
# its members; a relist from the watch cache is cheap, and chance spreads them.
LONGEST_PAUSE = 5.0

Handler = Callable[[Obj | None, Obj | None], None]
Transform = Callable[[Obj], Obj]

# Pages keep the memory of a large first list low.
PAGE = 500


def strip_managed_fields(obj: Obj) -> Obj:
    """The default transform: nobody here reads managedFields, and they are a third of an object."""
    (obj.get("metadata") or {}).pop("managedFields", None)
    return obj


class Informer:
    """The copy of one collection; see the module's text. ``run`` it once, in a task of its own."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        indexers: Mapping[str, IndexFunc] | None = None,
        metadata_only: bool = False,
    ) -> None:
        self.kind = kind
        self._client = client
        self._namespace = namespace
        self._selectors: dict[str, Any] = {
            "label_selector": label_selector,
            "field_selector": field_selector,
            "metadata_only": metadata_only,
        }
        self._transform = transform or strip_managed_fields
        self._store = Store()
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._resource_version = ""
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self.add_indexers(indexers or {})

    @property
    def synced(self) -> bool:
        """Whether the first list is complete and every handler was told of it."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once :attr:`synced`."""
        await self._synced.wait()

    def get(self, key: str) -> Obj | None:
        """The object of that key (``namespace/name`` or ``name``), if present."""
        return self._store.get(key)

    def list(self, namespace: str | None = None) -> Objs:
        """Every object, of one namespace when given."""
        return self._store.list(namespace)

    def by_index(self, index: str, value: str) -> Objs:
        """The objects under ``value`` in one of the indexers."""
        return self._store.by_index(index, value)

    def add_indexers(self, indexers: Mapping[str, IndexFunc]) -> None:
        """Keep more indices; those of a name already known stay."""
        for name, function in indexers.items():
            self._store.add_index(name, function)

    def add_handler(self, handler: Handler) -> None:
        """Tell ``handler`` of every change, beginning with what is known already."""
        self._handlers.append(handler)
        for obj in self._store.list():
            self._tell([handler], None, obj)

    async def run(self) -> None:
        """Follow the server until cancelled."""
        while True:
            try:
                if not self._resource_version:
                    await self._relist()
                await self._follow()
                self._backoff.reset()
            except (Expired, Gone) as error:
                self._resource_version = ""
                # Normal now and then, and mended by listing; again and again it is a failure like others.
                if self._backoff.failing:
                    await self._pause(error)
                else:
                    self._backoff.next()
            except Unreachable as error:
                await self._pause(error)
            except ApiError as error:
                self._resource_version = ""
                await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        # Once per outage: a process has dozens of informers, and they all see the same one.
        tell = log.debug if self._backoff.failing else log.warning
        tell("collection cannot be followed", resource=self.kind.plural, error=error)
        await asyncio.sleep(self._backoff.next())

    async def _relist(self) -> None:
        gone, token, revision = self._store.keys(), "", ""
        while True:
            page = await self._client.list(
                self.kind, self._namespace, limit=PAGE, continue_token=token, **self._selectors
            )
            for obj in page.items:
                gone.discard(self._put(obj))
            revision, token = page.resource_version, page.continue_token
            if not token:
                break
        for key in gone:
            self._tell(self._handlers, self._store.remove(key), None)
        self._resource_version = revision
        self._synced.set()

    async def _follow(self) -> None:
        events = self._client.watch(
            self.kind, self._namespace, resource_version=self._resource_version, **self._selectors
        )
        async with aclosing(events):
            async for event in events:
                self._backoff.reset()
                if event.type == "DELETED":
                    self._remove(event.object)
                elif event.type != "BOOKMARK":
                    self._put(event.object)
                self._resource_version = meta.resource_version(event.object)

    def _put(self, obj: Obj) -> str:
        obj = self._transform(obj)
        key = meta.key(obj)
        old = self._store.put(key, obj)
        if old is None or meta.resource_version(old) != meta.resource_version(obj):
            self._tell(self._handlers, old, obj)
        return key

    def _remove(self, obj: Obj) -> None:
        final = self._transform(obj)
        if self._store.remove(meta.key(final)) is not None:
            self._tell(self._handlers, final, None)

    def _tell(self, handlers: Iterable[Handler], old: Obj | None, new: Obj | None) -> None:
        for handler in handlers:
            try:
                handler(old, new)
            except Exception:  # one handler's defect must not blind the others
                log.error(
                    "handler failed",
                    exc_info=True,
                    resource=self.kind.plural,
                    object=meta.key(new or old or {}),
                )


class InformerFactory:
    """Shares informers: the same question asked twice is one watch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[object, ...], Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        indexers: Mapping[str, IndexFunc] | None = None,
        metadata_only: bool = False,
    ) -> Informer:
        """The informer of that question; indexers add up. Made after :meth:`run_all`, it runs at once."""
        question = (kind, namespace, label_selector, field_selector, transform, metadata_only)
        informer = self._informers.get(question)
        if informer is None:
            informer = self._informers[question] = Informer(
                self._client,
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                transform=transform,
                metadata_only=metadata_only,
            )
            self._start(informer)
        informer.add_indexers(indexers or {})
        return informer

    async def run_all(self, task_group: asyncio.TaskGroup) -> None:
        """Run every informer, also those asked for later, in ``task_group``; does not wait for them."""
        self._group = task_group
        for informer in self._informers.values():
            self._start(informer)

    async def wait_synced(self) -> None:
        """Return once every informer asked for so far is synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    def _start(self, informer: Informer) -> None:
        if self._group is not None:
            self._group.create_task(informer.run(), name=f"informer-{informer.kind.plural}")
