"""The ``scale`` subresource: an object's replicas as an autoscaling/v1 Scale."""

from __future__ import annotations

from collections.abc import Callable

from kdist.api import errors
from kdist.api.errors import BadRequest
from kdist.api.meta import Obj
from kdist.api.patch import json as json_patch
from kdist.api.patch import merge
from kdist.apiserver import negotiation
from kdist.apiserver.call import Call, copy
from kdist.apiserver.registry.workloads import check_scale
from kdist.apiserver.validation import decode, read_object

API_VERSION, KIND = "autoscaling/v1", "Scale"


async def get(call: Call) -> None:
    """The Scale of an object."""
    await call.reply(call.store.strategy.scale(await call.store.get(call.namespace, call.name)))


async def update(call: Call) -> None:
    """PUT of a Scale."""
    wanted = await call.read_kind(API_VERSION, KIND)
    name = (wanted.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    await _write(call, lambda _: copy(wanted))


async def patch(call: Call) -> None:
    """PATCH of a Scale. An apply patch names everything it wants, so merging it is applying it."""
    kind = negotiation.patch_type(call.request.header(b"content-type"))
    raw = await call.request.body()
    is_yaml = kind == "apply" and raw.lstrip()[:1] != b"{"
    body = decode(raw, "application/yaml" if is_yaml else "application/json")
    schema = call.core.scheme.schema(API_VERSION, KIND)
    assert schema is not None, "Scale is published in every version"

    def change(scale: Obj) -> Obj:
        patched = json_patch.apply(scale, body.value) if kind == "json" else merge.apply(scale, body.value)
        wrapped = decode(b"{}")
        wrapped.value = patched
        return read_object(wrapped, schema, kind=KIND, version="v1", field_validation="Ignore")[0]

    await _write(call, change)


async def _write(call: Call, change: Callable[[Obj], Obj]) -> None:
    strategy = call.store.strategy

    async def scaled(obj: Obj) -> Obj:
        scale = change(strategy.scale(obj))
        if causes := check_scale(scale):
            raise errors.invalid("autoscaling", KIND, call.name, causes)
        strategy.apply_scale(obj, scale)
        metadata = scale.get("metadata") or {}
        call.check_uid(metadata.get("uid"), obj["metadata"]["uid"])
        if version := metadata.get("resourceVersion"):
            obj["metadata"]["resourceVersion"] = version
        return obj

    stored, _ = await call.pipeline.update(call.namespace, call.name, scaled, call.act(), subresource="scale")
    await call.reply(strategy.scale(stored.obj))
