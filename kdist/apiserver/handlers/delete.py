"""DELETE of an object or of a collection."""

from __future__ import annotations

import asyncio

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.meta import Obj
from kdist.apiserver import answers, deletion
from kdist.apiserver.call import Call, copy
from kdist.apiserver.deletion import Options
from kdist.apiserver.handlers import selection
from kdist.apiserver.handlers.read import list_object
from kdist.apiserver.participants import Act
from kdist.apiserver.pipeline import Pipeline
from kdist.apiserver.request import Request
from kdist.storage.interface import KeyValue, Write
from kdist.storage.watchcache import Entry

# Deleting these answers with the object as it was, all others with a Status.
_ANSWERED_WITH_OBJECT = {
    "csidrivers",
    "csinodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
}
PARALLEL = 16  # deletions of a collection under way at once


async def delete(call: Call) -> None:
    """One object."""
    options = await read_options(call)
    obj, removed = await delete_object(call.pipeline, call.namespace, call.name, options, _act(call, options))
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
    entries = selected.select(entries)
    slots = asyncio.Semaphore(PARALLEL)
    act, pipeline = _act(call, options), call.pipeline

    async def one(entry: Entry) -> bytes | None:
        """The body as it was before."""
        async with slots:
            try:
                await delete_object(pipeline, *call.store.resource_key(entry.key), options, act)
            except NotFound:
                return None
        return entry.body

    deleted = await asyncio.gather(*map(one, entries))
    objects = await call.store.objects(body for body in deleted if body)
    listed = list_object(call, objects, {"resourceVersion": str(cache.revision)})
    await answers.send_object(call.request, call.send, listed)


async def read_options(call: Call) -> Options:
    """DeleteOptions from the body, or from the query when there is none. BadRequest, Invalid."""
    body = await call.read_kind("v1", "DeleteOptions", default={}, lenient=True)
    options = Options.parse(body or _from_query(call.request))
    careless = call.store.strategy.careless_deletion
    if careless and not options.propagation:
        call.request.warn(careless)
    return options


def _from_query(request: Request) -> Obj:
    """The options that a request without a body brings as parameters; beside a body they do not count."""
    options: Obj = {"propagationPolicy": request.param("propagationPolicy")}
    if request.param("orphanDependents"):
        options["orphanDependents"] = request.flag("orphanDependents")
    if (grace := request.number("gracePeriodSeconds")) is not None:
        options["gracePeriodSeconds"] = grace
    return {**options, "dryRun": [value for value in request.query.get("dryRun", ()) if value]}


def _act(call: Call, options: Options) -> Act:
    return Act(call.user, dry_run=options.dry_run, manager=call.manager(), warn=call.request.warn)


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
            deletion.check_preconditions(await store.current(current), options, store.strategy)
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
