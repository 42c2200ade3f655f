"""Follow the CustomResourceDefinitions: accept their names, serve what they define, clean up behind them.

Every worker process does all of this by itself: serving follows from the definition's conditions alone, and the
writes are such that it does not matter who wins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import orjson

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.api.schema import Schema
from kdist.apiserver.crd import definition, status
from kdist.apiserver.crd.conversion import WebhookConverter, webhook_of
from kdist.apiserver.crd.strategy import CustomResourceStrategy
from kdist.apiserver.deletion import Options
from kdist.apiserver.participants import Act
from kdist.apiserver.settling import Settling
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.apiserver.admission.webhooks import WebhookClient
    from kdist.apiserver.core import Core
    from kdist.apiserver.ports import Reader, Writer
    from kdist.apiserver.store import Store
    from kdist.storage.watchcache import Entry

DEFINITIONS = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_log = log.get(__name__)


class Registration:
    """The definitions of one process. :meth:`follow` before the server starts, :meth:`run` while it serves."""

    def __init__(self, core: Core, reader: Reader, writer: Writer, webhooks: WebhookClient) -> None:
        self._core, self._reader, self._writer = core, reader, writer
        self._webhooks = webhooks
        self._served: dict[str, tuple[Obj, list[Resource]]] = {}
        self._settling = Settling(DEFINITIONS.kind, self._sync)

    def follow(self) -> None:
        """Serve what is established, from the first state of the cache on."""
        self._reader.on_change(DEFINITIONS, self._changed)

    def _changed(self, _: str, name: str, crd: Obj | None) -> None:
        try:
            self._serve(name, crd if crd is not None and definition.condition(crd, "Established") else None)
        except Exception:  # noqa: BLE001 - one definition must not end the cache that tells of all of them
            _log.error("cannot serve a custom resource definition", exc_info=True, name=name)
        if crd is not None:
            self._settling.add(name)
        else:
            for other in self._reader.list(DEFINITIONS):  # names may have become free
                self._settling.add(meta.name(other))

    # ----- serving

    def _serve(self, name: str, crd: Obj | None) -> None:
        made_of = _made_of(crd) if crd is not None else {}
        before, resources = self._served.get(name, ({}, []))
        if made_of == before:
            return
        for resource in resources:
            self._core.scheme.unregister(resource)
            self._core.custom_strategies.pop(_coordinates(resource), None)
        for prefix in {resource.storage_prefix for resource in resources}:
            self._core.hub.drop(prefix)
        self._served.pop(name, None)
        if crd is not None:
            self._served[name] = (made_of, self._register(crd))

    def _register(self, crd: Obj) -> list[Resource]:
        served = definition.served(crd, self._metadata_type())
        paths = {f["jsonPath"].lstrip(".") for s in served for f in s.version.get("selectableFields") or ()}
        indexed = tuple(sorted(paths))
        webhook = webhook_of(crd)
        converter = WebhookConverter(self._webhooks, webhook) if webhook is not None else None
        for one in served:
            self._core.scheme.register(one.resource, one.schema)
            self._core.custom_strategies[_coordinates(one.resource)] = CustomResourceStrategy(
                one.resource, one.schema, one.version, indexed, converter
            )
        return [one.resource for one in served]

    def _metadata_type(self) -> Schema:
        namespace = self._core.scheme.schema("v1", "Namespace")
        assert namespace is not None, "every level has namespaces"
        return namespace.properties["metadata"]

    # ----- conditions and clean-up

    async def run(self) -> None:
        """Write conditions and clean up, one definition after the other."""
        await self._settling.run()

    async def _sync(self, name: str) -> None:
        crd = self._reader.get(DEFINITIONS, None, name)
        if crd is None:
            return
        wanted = status.plan(crd, self._reader.list(DEFINITIONS))
        if wanted != crd.get("status"):
            await self._writer.update(DEFINITIONS, {**crd, "status": wanted}, subresource="status")
        elif meta.is_deleting(crd) and CLEANUP in crd["metadata"].get("finalizers", ()):
            await self._clean_up(crd)

    async def _clean_up(self, crd: Obj) -> None:
        """Delete every object; once there is none, let the definition go."""
        name = meta.name(crd)
        if await self._remaining(name):
            self._settling.add_later(name)
            return
        metadata = {**crd["metadata"]}
        metadata["finalizers"] = [f for f in metadata["finalizers"] if f != CLEANUP]
        await self._writer.update(DEFINITIONS, {**crd, "metadata": metadata})

    async def _remaining(self, name: str) -> int:
        """Ask for the deletion of every object; how many are still there."""
        from kdist.apiserver.handlers.delete import delete_object

        _, resources = self._served.get(name, ({}, []))
        if not resources:
            return 0
        pipeline = self._core.inner_pipeline(resources[0])
        cache = await pipeline.store.fresh_cache()
        for entry in list(cache.entries()):
            obj: Obj = orjson.loads(entry.body)
            if not meta.is_deleting(obj):
                await _deleted(delete_object(pipeline, meta.namespace(obj), meta.name(obj), Options(), Act()))
        return len(await self._entries(pipeline.store))

    @staticmethod
    async def _entries(store: Store) -> list[Entry]:
        return list((await store.fresh_cache()).entries())


async def _deleted(deletion: Awaitable[object]) -> None:
    with contextlib.suppress(NotFound):  # somebody else was faster
        await deletion


def _coordinates(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.plural


def _made_of(crd: Obj) -> Obj:
    """What serving depends on."""
    names = meta.get(crd, "status.acceptedNames", {})
    return {"spec": crd["spec"], "names": names, "deleting": meta.is_deleting(crd)}
