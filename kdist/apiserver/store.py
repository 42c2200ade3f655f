"""One resource in storage: reads from its watch cache, writes by compare and swap, versions converted between.

Below authentication, admission and validation: handlers and the pipeline stand on this. Storage errors become
errors of the API here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson

from kdist.api import errors, meta
from kdist.api.errors import ApiError, Expired, ServiceUnavailable
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.apiserver import conversion
from kdist.apiserver.packing import Packer
from kdist.apiserver.registry import Strategy
from kdist.storage import body as bodies
from kdist.storage import interface as storage
from kdist.storage.encryption import EncryptedStorage
from kdist.storage.hub import Hub
from kdist.storage.interface import KeyValue, Write
from kdist.storage.watchcache import BrokenEntry, Entry, WatchCache


@dataclass(frozen=True, slots=True)
class Stored:
    """What a write or read came to: the object in the request's version, and the same as bytes."""

    obj: Obj
    body: bytes


class StorageErrors:
    """``with storage_errors():`` turns storage's errors into the API's. Reads pass here: no generator."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and (meaning := _meaning(error)) is not None:
            raise meaning from error


_STORAGE_ERRORS = StorageErrors()


def storage_errors() -> StorageErrors:
    """The context in which storage is asked."""
    return _STORAGE_ERRORS


def _type_of(resource: Resource) -> bytes:
    """The first bytes of every encoded object of a resource (:func:`kdist.storage.body.encode`)."""
    return b'{"kind":"%b","apiVersion":"%b",' % (resource.kind.encode(), resource.api_version.encode())


def _meaning(error: BaseException) -> ApiError | None:
    match error:
        case storage.Unreadable():
            return errors.InternalError(f"Internal error occurred: {error}")
        case storage.Full():
            return errors.InternalError(f"{error}: see `kdist etcd alarms`")
        case storage.Unavailable():
            return ServiceUnavailable(
                f"storage is unavailable: {error}; when this lasts, see `kdist etcd status`",
                details={"retryAfterSeconds": 1},
            )
        case storage.Compacted():
            return Expired("The resourceVersion for the provided list is too old.")
        case TimeoutError():
            return errors.Timeout("the caches did not catch up with storage in time")
    return None


class Store:
    """A served resource (one group and version) on its place in storage."""

    def __init__(self, resource: Resource, stored: Resource, strategy: Strategy, hub: Hub) -> None:
        self.resource = resource
        self.strategy = strategy
        self.hub = hub
        self._stored = stored
        #: What a built-in object begins with; in a list it is left out, as upstream does: the list tells.
        self._type = _type_of(resource) if not strategy.shapes_reads else b"{"
        #: What stands between the objects of a list, each of which lost its first bytes to :meth:`item`.
        self.between = b",{"
        self.packer = Packer(self.item, self.between)
        self._prefix = resource.storage_prefix
        self.converter = strategy.converter
        self.ttl = 0  # seconds objects live, 0: until deleted

    # ----- versions

    @property
    def converts(self) -> bool:
        """Whether the stored form differs from the served one."""
        return self._stored is not self.resource or self.strategy.shapes_reads

    def _served(self, obj: Obj) -> Obj:
        """A stored object in this store's version and its present form; may change its argument."""
        if not self.converts:
            return obj
        converted = conversion.convert(obj, self.resource)
        if self.strategy.shapes_reads:
            self.strategy.shape(converted)
        return converted

    async def bodies_of(self, cached: Sequence[bytes]) -> Sequence[bytes]:
        """Cached bodies in this store's version."""
        if not self.converts:
            return cached
        return [orjson.dumps(obj) for obj in await self.objects(cached)]

    async def objects(self, cached: Iterable[bytes]) -> list[Obj]:
        """Bodies (with resourceVersion) as objects of this store's version; the caller's own copies."""
        decoded = [orjson.loads(body) for body in cached]
        if self.converter is not None:
            decoded = await self.converter.convert(decoded, self.resource.api_version)
        return [self._served(obj) for obj in decoded]

    async def served_entries(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries as they would be if this store's version were the stored one."""
        objects = await self.objects([entry.body for entry in entries])
        return [
            Entry(e.key, orjson.dumps(obj), e.revision, meta.labels(obj), self.strategy.fields(obj))
            for e, obj in zip(entries, objects, strict=True)
        ]

    def item(self, body: bytes) -> bytes | memoryview:
        """A body of this store's version as it stands in a list, without its opening brace."""
        if body.startswith(self._type):
            return memoryview(body)[len(self._type) :]
        return orjson.dumps(self.item_of(orjson.loads(body)))[1:]

    def item_of(self, obj: Obj) -> Obj:
        """An object as it stands in a list; may change its argument."""
        if not self.strategy.shapes_reads:
            obj.pop("kind", None)
            obj.pop("apiVersion", None)
        return obj

    def read(self, entry: Entry) -> Obj:
        """A cached object that no webhook converts, in this store's version; the caller's own copy."""
        assert self.converter is None, "a webhook's work takes time"
        return self._served(orjson.loads(entry.body))

    async def current(self, kv: KeyValue) -> Obj:
        """A stored value as an object of this store's version."""
        decoded = bodies.decode(kv.value, kv.revision)
        if self.converter is not None:
            (decoded,) = await self.converter.convert([decoded], self.resource.api_version)
        return self._served(decoded)

    async def encode(self, obj: Obj) -> bytes:
        """The value to store for an object of this store's version."""
        if not self.converts:
            return bodies.encode(obj)
        if self.converter is not None:
            (obj,) = await self.converter.convert([obj], self._stored.api_version)
        return bodies.encode(conversion.convert({**obj}, self._stored))

    def is_of_other_version(self, kv: KeyValue) -> bool:
        """Whether a value was stored when another version was the stored one: writing it again renews it."""
        if not self.strategy.shapes_reads:
            return False
        return bool(orjson.loads(kv.value).get("apiVersion") != self._stored.api_version)

    def result(self, obj: Obj, value: bytes, revision: int) -> Stored:
        """What to answer after ``value`` was stored at ``revision``."""
        obj["metadata"]["resourceVersion"] = str(revision)
        if self.converter is not None:
            return Stored(obj, orjson.dumps(obj))
        body = bodies.with_revision(value, revision)
        return Stored(obj, orjson.dumps(self._served(orjson.loads(body))) if self.converts else body)

    # ----- reading

    async def cache(self) -> WatchCache:
        """The resource's cache, loaded; as far behind storage as the watch is."""
        with storage_errors():
            return await self.hub.cache(self.resource.storage_prefix, self.strategy.fields)

    async def fresh_cache(self) -> WatchCache:
        """The resource's cache, showing everything written before the call."""
        cache = self.hub.loaded(self._prefix)
        if cache is None:
            cache = await self.cache()
        with _STORAGE_ERRORS:
            await self.hub.fresh()
        return cache

    def key(self, namespace: str, name: str) -> str:
        """The storage key of an object."""
        return self.resource.key(namespace, name)

    def resource_key(self, key: str) -> tuple[str, str]:
        """(namespace, name) of a storage key; the namespace is empty for cluster-scoped objects."""
        namespace, _, name = key[len(self.resource.storage_prefix) :].rpartition("/")
        return namespace, name

    async def entry(self, namespace: str, name: str, *, fresh: bool = True) -> Entry:
        """The cached entry of an object. NotFound."""
        cache = await (self.fresh_cache() if fresh else self.cache())
        entry = cache.get(self.key(namespace, name))
        if entry is None:
            raise self.not_found(name)
        return entry

    async def get(self, namespace: str, name: str, *, fresh: bool = True) -> Obj:
        """An object as a dict of the caller's own. NotFound."""
        (found,) = await self.objects([(await self.entry(namespace, name, fresh=fresh)).body])
        return found

    async def cached_value(self, namespace: str, name: str) -> KeyValue | None:
        """The possibly stale state to begin a guaranteed update with; None to begin with a read."""
        entry = (await self.cache()).get(self.key(namespace, name))
        if entry is None or isinstance(entry, BrokenEntry):
            return None
        return KeyValue(entry.key, entry.body, entry.revision)

    async def is_outdated(self, namespace: str, name: str) -> bool:
        """Whether an object should be written anew without a change: its encryption is not today's."""
        backend, key = self.hub.storage, self.key(namespace, name)
        if not isinstance(backend, EncryptedStorage) or not backend.covers(key):
            return False
        stored = await backend.get(key)
        return stored is not None and stored.outdated

    # ----- writing

    async def create(self, obj: Obj, also: dict[str, bytes] | None = None) -> Stored:
        """Store a new object and its companion keys. AlreadyExists; Mismatch for a companion."""
        metadata = obj["metadata"]
        key = self.key(metadata.get("namespace", ""), metadata["name"])
        value = await self.encode(obj)
        companions = also or {}
        with storage_errors():
            try:
                revision = await self.hub.storage.commit(
                    dict.fromkeys((key, *companions), 0), puts={key: value, **companions}, ttl=self.ttl
                )
            except storage.Mismatch as mismatch:
                if mismatch.key != key:
                    raise
                raise self.already_exists(metadata["name"]) from mismatch
        return self.result(obj, value, revision)

    async def rehearse(self, obj: Obj) -> Stored:
        """What :meth:`create` would answer, with nothing stored. AlreadyExists."""
        metadata = obj["metadata"]
        try:
            await self.entry(metadata.get("namespace", ""), metadata["name"])
        except errors.NotFound:
            return Stored(obj, orjson.dumps(obj))
        raise self.already_exists(metadata["name"])

    async def guaranteed_update(self, namespace: str, name: str, attempt: storage.Attempt) -> int | None:
        """Compare and swap from the cached state on; errors on stale state are tried again on fresh state."""
        cached = await self.cached_value(namespace, name)

        async def careful(current: KeyValue | None, fresh: bool) -> Write | None:
            try:
                return await attempt(current, fresh)
            except ApiError as error:
                if fresh:
                    raise
                raise storage.Suspect from error

        with storage_errors():
            return await storage.guaranteed_update(
                self.hub.storage, self.key(namespace, name), careful, cached=cached
            )

    async def modify(
        self, namespace: str, name: str, change: Callable[[Obj], Obj], *, dry_run: bool = False
    ) -> Stored:
        """Change an object below all rules; ``change`` gets its own copy, and may raise to refuse. NotFound."""
        outcome: list[Stored] = []

        async def attempt(current: KeyValue | None, fresh: bool) -> Write | None:
            outcome.clear()
            if current is None:
                raise self.not_found(name)
            old = await self.current(current)
            new = change(orjson.loads(orjson.dumps(old)))
            value = await self.encode(new)
            outcome.append(self.result(new, value, current.revision))
            return None if dry_run or new == old else Write(value, ttl=self.ttl)

        revision = await self.guaranteed_update(namespace, name, attempt)
        stored = outcome[0]
        return (
            stored if revision is None else self.result(stored.obj, await self.encode(stored.obj), revision)
        )

    # ----- errors in this resource's words

    def not_found(self, name: str) -> errors.NotFound:
        """``pods "x" not found``."""
        return errors.not_found(self.resource.group, self.resource.plural, name)

    def already_exists(self, name: str) -> errors.AlreadyExists:
        """``pods "x" already exists``."""
        return errors.already_exists(self.resource.group, self.resource.plural, name)

    def conflict(self, name: str, why: str) -> errors.Conflict:
        """``Operation cannot be fulfilled on pods "x": why``."""
        return errors.conflict(self.resource.group, self.resource.plural, name, why)

    def invalid(self, name: str, causes: list[errors.Cause]) -> errors.Invalid:
        """``Pod "x" is invalid: ...``."""
        group = self.strategy.error_group
        group = self.resource.group if group is None else group
        return errors.invalid(group, self.resource.kind, name, causes)
