"""The ``scale`` subresource: an object's replicas as an autoscaling/v1 Scale."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kdist.api import errors, meta
from kdist.api.errors import Cause, InternalError, NotFound, UnsupportedMediaType
from kdist.api.meta import Obj
from kdist.api.patch import apply as applied
from kdist.api.patch import json as json_patch
from kdist.api.patch import merge
from kdist.apiserver import negotiation, objectmeta
from kdist.apiserver.call import Call, copy
from kdist.apiserver.handlers import patching
from kdist.apiserver.participants import Act
from kdist.apiserver.registry.workloads import check_scale
from kdist.apiserver.validation import decode

API_VERSION, KIND = "autoscaling/v1", "Scale"


async def get(call: Call) -> None:
    """The Scale of an object."""
    strategy, custom = call.store.strategy, call.core.scheme.is_custom(call.resource)
    try:
        obj = await call.store.get(call.namespace, call.name)
    except NotFound as error:
        if custom:
            raise
        group = call.resource.group or "autoscaling"
        raise errors.not_found(group, f"{call.resource.plural}/scale", call.name) from error
    if custom and meta.get(obj, strategy.scale_path) is None:
        why = f'the spec replicas field ".{strategy.scale_path}" does not exist'
        raise InternalError(f"Internal error occurred: {why}", causes=(Cause("", why, ""),))
    await call.reply(strategy.scale(obj))


async def update(call: Call) -> None:
    """PUT of a Scale."""
    wanted = await call.read_kind(API_VERSION, KIND)
    objectmeta.place_named(wanted, call.namespace, call.name)
    await _write(call, call.act(), lambda _: copy(wanted))


async def patch(call: Call) -> None:
    """PATCH of a Scale. UnsupportedMediaType for a strategic one of a custom resource."""
    kind = negotiation.patch_type(call.request.header(b"content-type"))
    custom = call.core.scheme.is_custom(call.resource)
    if kind == "strategic" and custom:
        raise UnsupportedMediaType(patching.NOT_STRATEGIC)
    raw = await call.request.body()
    is_yaml = kind == "apply" and raw.lstrip()[:1] != b"{"
    body = decode(raw, "application/yaml" if is_yaml else "application/json")
    schema = call.core.scheme.schema(API_VERSION, KIND)
    assert schema is not None, "Scale is published in every version"
    read = patching.reader(call, body, schema, KIND, "v1")
    if kind == "apply":
        await _apply(call, read(body.value))
        return

    def change(scale: Obj) -> Obj:
        return read(json_patch.apply(scale, body.value) if kind == "json" else merge.apply(scale, body.value))

    await _write(call, call.act(), change)


async def _apply(call: Call, wanted: Obj) -> None:
    """An apply patch: its manager owns the replicas of the object from then on. Conflict, unless by force."""
    objectmeta.place_named(wanted, call.namespace, call.name)
    manager = patching.manager_of_apply(call)
    strategy, resource, schema = call.store.strategy, call.resource, call.core.scheme.schema_of(call.resource)
    if causes := check_scale(wanted):
        raise errors.invalid("autoscaling", KIND, call.name, causes)
    configuration: Obj = {"apiVersion": resource.api_version, "kind": resource.kind}
    strategy.apply_scale(configuration, wanted)
    force = call.request.flag("force")

    async def scaled(obj: Obj) -> Obj:
        _check_lock(call, obj, wanted)
        return applied.apply(
            obj, copy(configuration), schema, manager=manager, force=force, subresource="scale"
        )

    await _store(call, replace(call.act(), applies=True, manager=manager), scaled)


async def _write(call: Call, act: Act, change: Callable[[Obj], Obj]) -> None:
    strategy = call.store.strategy

    async def scaled(obj: Obj) -> Obj:
        scale = change(strategy.scale(obj))
        if causes := check_scale(scale):
            raise errors.invalid("autoscaling", KIND, call.name, causes)
        strategy.apply_scale(obj, scale)
        _check_lock(call, obj, scale)
        return obj

    await _store(call, act, scaled)


def _check_lock(call: Call, obj: Obj, scale: Obj) -> None:
    """Conflict when the Scale is of another object; its version becomes the object's, to be compared."""
    metadata = scale.get("metadata") or {}
    call.check_uid(metadata.get("uid"), obj["metadata"]["uid"])
    if version := metadata.get("resourceVersion"):
        obj["metadata"]["resourceVersion"] = version


async def _store(call: Call, act: Act, scaled: Callable[[Obj], Awaitable[Obj]]) -> None:
    stored, _ = await call.pipeline.update(call.namespace, call.name, scaled, act, subresource="scale")
    await call.reply(call.store.strategy.scale(stored.obj))
