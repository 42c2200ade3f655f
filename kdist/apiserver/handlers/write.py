"""POST, PUT and PATCH of whole objects and of the subresources that are views of them (status, approval, ...)."""

from __future__ import annotations

import asyncio

from kdist.api import errors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver import objectmeta
from kdist.apiserver.call import Call, copy
from kdist.apiserver.handlers import patching
from kdist.apiserver.validation.decode import SLOW_FROM


async def create(call: Call) -> None:
    """POST to a collection."""
    act = call.act()
    obj = await call.read_object()
    objectmeta.place(obj, call.resource, call.namespace)
    await call.reply(await call.pipeline.create(obj, act), 201)


async def update(call: Call) -> None:
    """PUT of an object, or of one of its views."""
    act = call.act()
    subresource = call.request.info.subresource
    given = await call.read_object()
    objectmeta.place(given, call.resource, call.namespace, call.name, named=True)

    async def replace(old: Obj) -> Obj:
        call.check_uid(given["metadata"].get("uid"), old["metadata"]["uid"])
        return copy(given)

    async def make() -> Obj:
        call.check_uid(given["metadata"].get("uid"), "")
        made = copy(given)
        if not act.dry_run:  # of nothing there is no version to be behind
            made["metadata"].pop("resourceVersion", None)
        return made

    creates = call.store.strategy.allow_create_on_update and not subresource
    try:
        stored, created = await call.pipeline.update(
            call.namespace, call.name, replace, act, subresource=subresource, create=make if creates else None
        )
    except errors.NotFound:
        call.check_uid(given["metadata"].get("uid"), "")  # who names a uid meant an object that was there
        raise
    await call.reply(stored, 201 if created else 200)


async def patch(call: Call) -> None:
    """PATCH of an object, or of one of its views; an apply patch creates what is not there."""
    request = call.request
    raw, content_type = await request.body(), request.header(b"content-type")
    if len(raw) > SLOW_FROM and "yaml" in content_type and not raw.startswith(b"{"):
        wanted = await asyncio.to_thread(patching.read, call, raw, content_type)
    else:
        wanted = patching.read(call, raw, content_type)
    act = wanted.act
    if request.flag("force") and not act.applies:
        told = "Forbidden: may not be specified for non-apply patch"
        raise errors.invalid("meta.k8s.io", "PatchOptions", "", [Cause("force", told, "FieldValueForbidden")])
    subresource = request.info.subresource

    async def change(old: Obj) -> Obj:
        return wanted.apply(old)

    async def make() -> Obj:
        return wanted.new()

    stored, created = await call.pipeline.update(
        call.namespace,
        call.name,
        change,
        act,
        subresource=subresource,
        create=make if act.applies and not subresource else None,
    )
    await call.reply(stored, 201 if created else 200)
