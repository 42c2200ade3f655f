"""DELETE of an object or of a collection."""

from __future__ import annotations

import asyncio

from kdist.api import meta
from kdist.api.errors import BadRequest, NotFound
from kdist.api.meta import Obj
from kdist.apiserver import answers, deletion
from kdist.apiserver.call import Call, copy
from kdist.apiserver.deletion import Options
from kdist.apiserver.handlers import selection
from kdist.apiserver.handlers.read import list_object
from kdist.apiserver.pipeline import Act, Pipeline
from kdist.storage.interface import KeyValue, Write

# Deleting these answers with the object as it was, all others with a Status.
_ANSWERED_WITH_OBJECT = {
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
}
PARALLEL = 16  # deletions of a collection under way at once


async def delete(call: Call) -> None:
    """One object."""
    options = await read_options(call)
    obj, removed = await delete_object(call.pipeline, call.namespace, call.name, options, call.act())
    if removed and call.resource.plural not in _ANSWERED_WITH_OBJECT:
        await call.reply(_success(call, obj))
        return
    await call.reply(obj)


async def delete_collection(call: Call) -> None:
    """Everything that the selectors match; what others delete meanwhile is no error."""
    selected = selection.of(call)
    options = await read_options(call)
    cache = await call.store.fresh_cache()
    entries = selected.candidates(cache)
    if selected.of_served:
        entries = await call.store.served_entries(entries)
    names = [call.store.resource_key(entry.key) for entry in selected.select(entries)]
    slots = asyncio.Semaphore(PARALLEL)
    act, pipeline = call.act(), call.pipeline

    async def one(namespace: str, name: str) -> Obj | None:
        async with slots:
            try:
                return (await delete_object(pipeline, namespace, name, options, act))[0]
            except NotFound:
                return None

    deleted = await asyncio.gather(*(one(*name) for name in names))
    listed = list_object(call, [obj for obj in deleted if obj], {"resourceVersion": str(cache.revision)})
    await answers.send_object(call.request, call.send, listed)


async def read_options(call: Call) -> Options:
    """DeleteOptions from the body and the query. BadRequest."""
    body = await call.read_kind("v1", "DeleteOptions", default={}, lenient=True)
    orphan = call.request.param("orphanDependents")
    query: Obj = {"propagationPolicy": call.request.param("propagationPolicy")}
    if orphan:
        query["orphanDependents"] = call.request.flag("orphanDependents")
    asked = Options.parse(query)
    grace = call.request.number("gracePeriodSeconds")
    if grace is not None and grace < 0:
        raise BadRequest("gracePeriodSeconds must be greater than or equal to 0")
    return deletion.with_query(Options.parse(body), grace, asked.propagation, call.act().dry_run)


async def delete_object(
    pipeline: Pipeline, namespace: str, name: str, options: Options, act: Act
) -> tuple[Obj, bool]:
    """Delete until it wins; the last state, and whether the object is gone now. NotFound, Conflict."""
    store = pipeline.store
    outcome: list[deletion.Outcome] = []

    async def attempt(current: KeyValue | None, fresh: bool) -> Write | None:
        outcome.clear()
        if current is None:
            raise store.not_found(name)
        if not fresh and (options.uid or options.resource_version):
            deletion.check_preconditions(await store.current(current), options)
        obj = await store.current(current)
        before = copy(obj)
        review = pipeline.review(act, "delete", old=copy(obj))
        await pipeline.admission.admit(review)
        await pipeline.admission.validate(review)
        planned = deletion.plan(obj, options, store.strategy)
        outcome.append(planned)
        if options.dry_run:
            return None
        if planned.remove:
            companions = pipeline.companions
            released = companions.released(None, obj) if companions else ()
            return Write(None, also_delete=released)
        value = await store.encode(obj)
        return None if obj == before else Write(value, ttl=store.ttl)

    revision = await store.guaranteed_update(namespace, name, attempt)
    planned = outcome[0]
    if revision is not None:
        planned.obj["metadata"]["resourceVersion"] = str(revision)
    return planned.obj, planned.remove


def _success(call: Call, obj: Obj) -> Obj:
    details = {
        "name": meta.name(obj),
        "group": call.resource.group,
        "kind": call.resource.plural,
        "uid": meta.uid(obj),
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
