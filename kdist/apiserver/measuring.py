"""Times what is asked of storage, under the name that upstream's dashboards know: ``etcd_request_duration_seconds``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kdist.apiserver import metrics
from kdist.storage.interface import Event, KeyValue, Page, StorageError
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.storage.etcd import EtcdStorage


SIZE_SECONDS = 60.0  # between two questions about the size
CLUSTER = "etcd-0"
_log = log.get(__name__)


class MeasuredStorage:
    """An etcd that counts."""

    def __init__(self, storage: EtcdStorage) -> None:
        self._storage = storage

    async def follow_size(self) -> None:
        """Tell the size of the database now and then, until cancelled."""
        while True:
            try:
                metrics.STORAGE_SIZE.at(CLUSTER).value = await self._storage.size()
            except StorageError as error:
                _log.warning("cannot ask for the size of the database", error=str(error))
            await asyncio.sleep(SIZE_SECONDS)

    async def commit(
        self,
        checks: Mapping[str, int],
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        ttl: int = 0,
    ) -> int:
        """See :class:`kdist.storage.interface.Storage`."""
        begun = time.monotonic()
        try:
            revision = await self._storage.commit(checks, puts=puts, deletes=deletes, ttl=ttl)
        except StorageError:
            _note(_operation(checks, puts), next(iter(checks), ""), begun, failed=True)
            raise
        _note(_operation(checks, puts), next(iter(checks), ""), begun)
        return revision

    async def get(self, key: str) -> KeyValue | None:
        """See the interface."""
        begun = time.monotonic()
        found = await self._storage.get(key)
        _note("get", key, begun)
        return found

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """See the interface."""
        begun = time.monotonic()
        page = await self._storage.list(prefix, start=start, limit=limit, revision=revision)
        _note("list", prefix, begun)
        resource = _resource(prefix)
        metrics.STORAGE_LISTS.at(resource).value += 1
        metrics.STORAGE_FETCHED.at(resource).value += len(page.items)
        metrics.STORAGE_RETURNED.at(resource).value += len(page.items)
        return page

    async def current_revision(self) -> int:
        """See the interface; not counted: it is no object's."""
        return await self._storage.current_revision()

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """See the interface."""
        return self._storage.watch(prefix, revision)

    async def compact(self, revision: int) -> None:
        """See the interface."""
        await self._storage.compact(revision)

    async def close(self) -> None:
        """See the interface."""
        await self._storage.close()


def _operation(checks: Mapping[str, int], puts: Mapping[str, bytes] | None) -> str:
    key = next(iter(checks), "")
    if not puts or key not in puts:
        return "delete"
    return "update" if checks[key] else "create"


def _note(operation: str, key: str, begun: float, *, failed: bool = False) -> None:
    resource = _resource(key)
    metrics.STORAGE_SECONDS.at(operation, resource).observe(time.monotonic() - begun)
    metrics.STORAGE_REQUESTS.at(operation, resource).value += 1
    if failed:
        metrics.STORAGE_ERRORS.at(operation, resource).value += 1


def _resource(key: str) -> str:
    """The path below /registry/ up to the resource: groups have a dot in their name, or are those without."""
    parts = key.split("/", 4)
    if len(parts) < 4:
        return key
    return f"{parts[3]}.{parts[2]}" if "." in parts[2] else parts[2]
