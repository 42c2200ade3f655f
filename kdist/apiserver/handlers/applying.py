"""Server-side apply: an apply patch says what its manager wants an object to have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdist.api import errors
from kdist.api.errors import BadRequest
from kdist.api.meta import Obj
from kdist.api.patch import apply as applied
from kdist.apiserver import objectmeta
from kdist.apiserver.call import Call, copy
from kdist.apiserver.handlers.patching import Patch, manager_of_apply
from kdist.apiserver.validation import conform, decode, read_object


def read(call: Call, raw: bytes) -> Patch:
    """The apply patch of a request. BadRequest when it is no object of the resource; Invalid without a manager."""
    request, resource = call.request, call.resource
    manager = manager_of_apply(call)
    wanted, named = _configuration(call, raw)
    schema = call.core.scheme.schema_of(resource)
    force, subresource = request.flag("force"), request.info.subresource

    def change(live: Obj) -> Any:
        if not live and not named:
            raise objectmeta.undeterminable(call.name)
        return applied.apply(
            live, copy(wanted), schema, manager=manager, force=force, subresource=subresource
        )

    def conformed(obj: Any) -> Obj:
        conform(obj, schema)
        merged: Obj = obj
        return merged

    return Patch(replace(call.act(), applies=True, manager=manager), change, conformed)


def _configuration(call: Call, raw: bytes) -> tuple[Obj, bool]:
    """The body, which is YAML and so possibly JSON, as an object of the resource; whether it says its name."""
    resource = call.resource
    is_json = raw.lstrip()[:1] == b"{"
    body = decode(raw, "application/json" if is_json else "application/yaml")
    if not isinstance(body.value, dict):
        raise BadRequest("an apply patch is an object")
    have = (body.value.get("apiVersion"), body.value.get("kind"))
    if have != (resource.api_version, resource.kind):
        raise BadRequest(
            f"incorrect version or kind specified in apply patch: {have[0]} {have[1]}, expected "
            f"{resource.api_version} {resource.kind}"
        )
    obj: Obj = body.value
    if (obj.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    _check_fields(call, obj)
    obj, warnings = read_object(
        body,
        call.core.scheme.schema_of(resource),
        kind=resource.kind,
        version=resource.version,
        field_validation=call.field_validation(),
        whole=False,
    )
    for text in warnings:
        call.request.warn(text)
    named = bool((obj.get("metadata") or {}).get("name"))
    objectmeta.place(obj, resource, call.namespace, call.name)
    return obj, named


def _check_fields(call: Call, obj: Obj) -> None:
    """Refuse fields that the type does not have, at every level of validation: nobody could own them.

    InternalError, as upstream answers; a value of a wrong type is left to the decoder.
    """
    resource = call.resource
    try:
        unknown = conform(obj, call.core.scheme.schema_of(resource), whole=False)
    except BadRequest:
        return
    if unknown:
        listed = [f".{path}: field not declared in schema" for path in sorted(unknown)]
        told = listed[0] if len(listed) == 1 else "errors:\n  " + "\n  ".join(listed)
        where = f"{call.namespace}/{call.name}; {resource.api_version}, Kind={resource.kind}"
        raise errors.InternalError(f"failed to create typed patch object ({where}): {told}")
