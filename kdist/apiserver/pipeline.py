"""Writing whole objects: decode, default, admit, prepare, validate, admit, store.

The one place that knows the order. Handlers bring a decoded object (or, for updates, a function that makes the
new object from the old one); what admission, strategies and storage do is theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson

from kdist.api import errors, meta
from kdist.api.errors import AlreadyExists, Cause, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.api.schema import Schema
from kdist.apiserver import managedfields as managed
from kdist.apiserver import objectmeta
from kdist.apiserver.admission import Request as AdmissionRequest
from kdist.apiserver.admission.base import Operation, undefaulted
from kdist.apiserver.deletion import finished
from kdist.apiserver.participants import BY_SERVER, NO_ADMISSION, Act, Admission, Companions
from kdist.apiserver.store import Store, Stored
from kdist.storage.interface import KeyValue, Mismatch, Write

GENERATE_ATTEMPTS = 8
# Subresources whose writes change the object itself: the main resource's rules hold.
_WRITE_THROUGH = frozenset({"scale"})
# Makes the new object from the old one, which it may change and return.
Transform = Callable[[Obj], Awaitable[Obj]]


class Pipeline:
    """The writes of one resource."""

    def __init__(
        self,
        store: Store,
        admission: Admission = NO_ADMISSION,
        *,
        schema: Schema,
        companions: Companions | None = None,
    ) -> None:
        self.store = store
        self.resource: Resource = store.resource
        self._strategy = store.strategy
        self._admission = admission
        self._companions = companions
        self._schema = schema
        self.kind = Kind(
            self.resource.group,
            self.resource.version,
            self.resource.plural,
            self.resource.kind,
            self.resource.namespaced,
        )

    # ----- create

    async def create(self, obj: Obj, act: Act = BY_SERVER) -> Stored:
        """Store a new object whose coordinates are set. A taken generated name is tried again."""
        generated = not obj["metadata"].get("name") and bool(obj["metadata"].get("generateName"))
        for attempt in range(GENERATE_ATTEMPTS):
            try:
                return await self._create_once(obj, act)
            except AlreadyExists as error:
                if not generated or attempt == GENERATE_ATTEMPTS - 1:
                    raise await self._in_the_way(obj["metadata"], error) from error
                obj["metadata"]["name"] = ""
        raise AssertionError("unreachable")

    async def _in_the_way(self, metadata: Obj, error: AlreadyExists) -> AlreadyExists:
        """Why an object cannot have its name, in the words that clients wait by or try again by."""
        if metadata.get("generateName"):
            told = f"{error.message}, the server was not able to generate a unique name for the object"
            details = {**error.details, "retryAfterSeconds": 1}
            return AlreadyExists(told, details=details)
        try:
            there = await self.store.get(metadata.get("namespace", ""), metadata["name"])
        except NotFound:
            return error  # gone since
        if not meta.is_deleting(there):
            return error
        return AlreadyExists(f"object is being deleted: {error.message}", details=error.details)

    async def _create_once(self, obj: Obj, act: Act) -> Stored:
        self._strategy.default(obj)
        if not act.applies:  # before admission: what that adds is nobody's
            has_status = "status" in self.resource.subresources
            resets = self._strategy.resets.get("", ())
            managed.track_create(obj, self._schema, act.manager, has_status=has_status, resets=resets)
        review = self.review(act, "create", obj=obj)
        await self._admission.admit(review)
        obj = review.body  # a webhook's patch makes another object
        metadata = obj["metadata"]
        self._strategy.default(obj)
        objectmeta.prepare_create(metadata, dry_run=act.dry_run)
        self._strategy.drop_disabled(obj, None)
        self._strategy.prepare_create(obj)
        review.name = metadata.get("name", "")
        if self._companions is not None:
            return await self._create_with(self._companions, obj, review, act)
        self._judge(obj, act)
        await self._admission.validate(review)
        self._strategy.finish_create(obj)
        return await (self.store.rehearse(obj) if act.dry_run else self.store.create(obj))

    async def _create_with(
        self, companions: Companions, obj: Obj, review: AdmissionRequest, act: Act
    ) -> Stored:
        """Allocate and store in one transaction; what somebody else took meanwhile is allocated anew."""
        while True:
            allocated: Obj = orjson.loads(orjson.dumps(obj))
            claims = await companions.allocate(allocated, None, dry_run=act.dry_run)
            self._judge(allocated, act)
            await self._admission.validate(replace(review, obj=allocated, name=meta.name(allocated)))
            self._strategy.finish_create(allocated)
            if act.dry_run:
                return await self.store.rehearse(allocated)
            try:
                return await self.store.create(allocated, dict(claims))
            except Mismatch as mismatch:
                companions.taken(mismatch.key)

    def _judge(self, obj: Obj, act: Act) -> None:
        """Refuse a new object that is wrong, warn of one that is odd."""
        if causes := self._strategy.validate(obj):
            raise self.store.invalid(meta.name(obj), causes)
        for text in self._strategy.warnings(obj):
            act.warn(text)

    # ----- update

    async def update(
        self,
        namespace: str,
        name: str,
        transform: Transform,
        act: Act = BY_SERVER,
        *,
        subresource: str = "",
        create: Callable[[], Awaitable[Obj]] | None = None,
    ) -> tuple[Stored, bool]:
        """Change an object by ``transform`` until it wins; the result, and whether it was created.

        ``create`` makes the object when there is none; without it that is NotFound. Raises Conflict when the
        transformed object carries another resourceVersion or uid than the stored one.
        """
        outcome: list[Stored] = []

        async def attempt(current: KeyValue | None, fresh: bool) -> Write | None:
            outcome.clear()
            if current is None:
                if create is not None:
                    return None
                raise self.store.not_found(name)
            old = await self.store.current(current)
            new, claims = await self._changed(old, current, transform, act, name, subresource)
            return await self._write(new, old, current, act, outcome, claims)

        while True:
            try:
                revision = await self.store.guaranteed_update(namespace, name, attempt)
                break
            except Mismatch as mismatch:
                assert self._companions is not None
                self._companions.taken(mismatch.key)
        if not outcome:
            assert create is not None
            return await self.create(await create(), act), True
        stored = outcome[0]
        if revision is not None and stored.obj["metadata"].get("resourceVersion") is None:
            stored = self.store.result(stored.obj, stored.body, revision)
        return stored, False

    async def _changed(
        self, old: Obj, current: KeyValue, transform: Transform, act: Act, name: str, subresource: str
    ) -> tuple[Obj, Mapping[str, bytes]]:
        again = (
            self.store.converter is None
        )  # decoding anew is the cheapest copy, unless a webhook takes part
        mine = await self.store.current(current) if again else orjson.loads(orjson.dumps(old))
        new = await transform(mine)
        objectmeta.place(new, self.resource, meta.namespace(old), name, named=not act.applies)
        self._check_lock(new["metadata"], old["metadata"], name)
        self._strategy.default(new)
        early = subresource in ("", "status")  # before admission changes anything in the client's name
        if early and not act.applies:
            self._track(new, old, act.manager, subresource)
        review = self.review(act, "update", obj=new, old=old, subresource=subresource)
        if subresource == "scale":  # what admission sees is the Scale, not the object that it is of
            review.obj, review.old = self._strategy.scale(new), self._strategy.scale(old)
        await self._admission.admit(review)
        if subresource == "scale":
            self._strategy.apply_scale(new, review.body)
        else:
            new = review.body
        self._prepare_update(new, old, subresource)
        if not act.applies and not early:
            self._track(new, old, act.manager, subresource)
        claims: Mapping[str, bytes] = {}
        if self._companions is not None and not subresource:
            claims = await self._companions.allocate(new, old, dry_run=act.dry_run)
        causes = self._validate_update(new, old, subresource)
        if causes:
            raise self.store.invalid(name, causes)
        for text in self._strategy.warnings(new, old) if not subresource else ():
            act.warn(text)
        await self._admission.validate(review)
        return new, claims

    def _track(self, new: Obj, old: Obj, manager: str, subresource: str) -> None:
        """Record who writes what."""
        has_status = "status" in self.resource.subresources
        resets = self._strategy.resets.get(subresource, ())
        managed.track_update(
            new, old, self._schema, manager, subresource, has_status=has_status, resets=resets
        )

    def _check_lock(self, new: Obj, old: Obj, name: str) -> None:
        version = new.get("resourceVersion")
        if version and version != "0" and version != old["resourceVersion"]:
            raise self.store.conflict(
                name,
                "the object has been modified; please apply your changes to the latest version and try again",
            )
        if not version and not self._strategy.allow_unconditional_update:
            told = "Invalid value: 0x0: must be specified for an update"
            # The kind of this refusal is the resource's name: upstream knows no more at this point.
            group, plural = self.resource.group, self.resource.plural
            raise errors.invalid(group, plural, name, [Cause("metadata.resourceVersion", told)])

    def _prepare_update(self, new: Obj, old: Obj, subresource: str) -> None:
        objectmeta.prepare_update(new["metadata"], old["metadata"])
        self._strategy.drop_disabled(new, old)
        if subresource and subresource not in _WRITE_THROUGH:
            self._strategy.prepare_subresource_update(subresource, new, old)
        else:
            self._strategy.prepare_update(new, old)

    def _validate_update(self, new: Obj, old: Obj, subresource: str) -> list[Cause]:
        if subresource and subresource not in _WRITE_THROUGH:
            return self._strategy.validate_subresource_update(subresource, new, old)
        return self._strategy.validate_update(new, old)

    async def _write(
        self,
        new: Obj,
        old: Obj,
        current: KeyValue,
        act: Act,
        outcome: list[Stored],
        claims: Mapping[str, bytes],
    ) -> Write | None:
        released = self._companions.released(new, old) if self._companions is not None else []
        managed.drop_unchanged_times(new, old)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        unchanged = (
            new == old
            and not self.store.is_of_other_version(current)
            and not await self.store.is_outdated(meta.namespace(old), meta.name(old))
        )
        if unchanged or act.dry_run:
            outcome.append(self.store.result(new, await self.store.encode(new), current.revision))
            return None
        value = await self.store.encode(new)
        if finished(new):
            if self._companions is not None:
                released = self._companions.released(None, old)
            outcome.append(self.store.result(new, value, current.revision))
            return Write(None, also_delete=released)
        del new["metadata"]["resourceVersion"]
        outcome.append(Stored(new, value))
        return Write(value, ttl=self.store.ttl, also_absent=claims, also_delete=released)

    # ----- shared

    def review(
        self,
        act: Act,
        verb: Operation,
        *,
        obj: Obj | None = None,
        old: Obj | None = None,
        subresource: str = "",
    ) -> AdmissionRequest:
        """The admission request of a write."""
        subject = obj if obj is not None else old
        assert subject is not None
        return AdmissionRequest(
            user=act.user,
            verb=verb,
            resource=self.kind,
            subresource=subresource,
            namespace=meta.namespace(subject),
            name=meta.name(subject),
            obj=obj,
            old=old,
            dry_run=act.dry_run,
            warn=act.warn,
            annotate=act.annotate,
            default=self._strategy.default if not subresource or subresource == "status" else undefaulted,
        )

    @property
    def admission(self) -> Admission:
        """The plug-ins this pipeline asks."""
        return self._admission

    @property
    def companions(self) -> Companions | None:
        """The companion keys of this resource's objects."""
        return self._companions
