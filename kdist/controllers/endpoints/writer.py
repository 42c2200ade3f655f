"""The EndpointSlices that one controller manages: found by Service, written, and waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import ENDPOINT_SLICES
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.client.store import IndexFunc
from kdist.controllers.endpoints.slices import MANAGED_BY, SERVICE_NAME, Changes

BEHIND_SECONDS = 1.0


class SliceWriter:
    """Gives :attr:`indexers` and :meth:`changed` to the informer, which :meth:`use` takes.

    A slice just written that the cache does not show yet would be made twice: while :meth:`is_behind`, the
    Service has to wait; the event that ends it brings the Service's key to ``enqueue``.
    """

    def __init__(self, client: Client, manager: str, enqueue: Callable[[str], None]) -> None:
        self._client, self._manager, self._enqueue = client, manager, enqueue
        self._index = f"service of {manager}"
        # Service -> key of a slice that the cache may not show yet -> its generation.
        self._written: dict[str, dict[str, int]] = {}

    @property
    def indexers(self) -> Mapping[str, IndexFunc]:
        """How the informer finds slices by Service."""
        return {self._index: self._services_of}

    def use(self, informer: Informer) -> None:
        """The informer of EndpointSlices."""
        self._slices = informer

    def _services_of(self, piece: Obj) -> Iterable[str]:
        labels = meta.labels(piece)
        if labels.get(MANAGED_BY) == self._manager and labels.get(SERVICE_NAME):
            yield f"{meta.namespace(piece)}/{labels[SERVICE_NAME]}"

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        """The informer's handler."""
        piece = new or old or {}
        for service in self._services_of(piece):
            written = self._written.get(service, {})
            if new is None or _generation(new) >= written.get(meta.key(piece), 0):
                written.pop(meta.key(piece), None)
            self._enqueue(service)

    def of(self, service: str) -> list[Obj]:
        """The slices of a Service, by its key."""
        return [s for s in self._slices.by_index(self._index, service) if not meta.is_deleting(s)]

    def is_behind(self, service: str) -> bool:
        """Whether the cache does not show all that was written for the Service."""
        return bool(self._written.get(service))

    def forget(self, service: str) -> None:
        """The Service is gone."""
        self._written.pop(service, None)

    async def apply(self, service: str, changes: Changes) -> None:
        """Write."""
        for piece in changes.create:
            self._note(service, await self._client.create(ENDPOINT_SLICES, piece))
        for piece in changes.update:
            self._note(service, await self._client.update(ENDPOINT_SLICES, piece))
        for piece in changes.delete:
            try:
                await self._client.delete(
                    ENDPOINT_SLICES, meta.name(piece), meta.namespace(piece), uid=meta.uid(piece)
                )
            except NotFound:
                continue

    def _note(self, service: str, piece: Obj) -> None:
        known = self._slices.get(meta.key(piece))
        if known is None or _generation(known) < _generation(piece):
            self._written.setdefault(service, {})[meta.key(piece)] = _generation(piece)


def _generation(piece: Obj) -> int:
    return int(meta.get(piece, "metadata.generation", 0))
