"""The patch formats: what a PATCH body does to an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from kdist.api.errors import ApiError, BadRequest, Cause, Invalid, UnsupportedMediaType, invalid
from kdist.api.meta import Obj
from kdist.api.patch import json as json_patch
from kdist.api.patch import merge, strategic
from kdist.api.resources import Resource
from kdist.api.schema import Schema
from kdist.apiserver import negotiation
from kdist.apiserver.call import Call
from kdist.apiserver.participants import Act
from kdist.apiserver.validation import decode, read_object
from kdist.apiserver.validation.decode import Body, opening

#: What a strategic merge patch of a custom resource is refused with.
NOT_STRATEGIC = (
    "the body of the request was in an unknown format - accepted media types include: "
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
)


class Patch:
    """A patch ready to be applied, as often as compare and swap needs."""

    def __init__(self, act: Act, change: Callable[[Obj], Any], conform: Callable[[Any], Obj]) -> None:
        self.act = act
        self._change, self._conform = change, conform

    def apply(self, old: Obj) -> Obj:
        """The patched object; ``old`` may be changed. Invalid when the patch does not fit."""
        try:
            return self._conform(self._change(old))
        except ApiError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Invalid(f"the patch cannot be applied: {error}") from error

    def new(self) -> Obj:
        """The object that an apply patch makes when there is none."""
        return self._conform(self._change({}))


def read(call: Call, raw: bytes, content_type: str) -> Patch:
    """The patch of a request. BadRequest, UnsupportedMediaType."""
    kind = negotiation.patch_type(content_type)
    if kind == "apply":
        from kdist.apiserver.handlers import applying

        return applying.read(call, raw)
    try:
        body = decode(raw)
    except BadRequest as error:
        raise BadRequest(f"error decoding patch: {error.message}") from error
    return Patch(call.act(), _changer(call, kind, body.value), _conformer(call, body))


def manager_of_apply(call: Call) -> str:
    """Who applies: no name is made up for it. Invalid when the request has none."""
    manager = call.request.param("fieldManager")
    if not manager:
        missing = Cause("fieldManager", "Required value: is required for apply patch", "FieldValueRequired")
        raise invalid("meta.k8s.io", "PatchOptions", "", [missing])
    return manager


def _changer(call: Call, kind: str, value: Any) -> Callable[[Obj], Any]:
    if kind == "json":
        return lambda old: json_patch.apply(old, value)
    if not isinstance(value, dict):
        raise BadRequest("error decoding patch: a patch is an object")
    if kind == "merge":
        return lambda old: merge.apply(old, value)
    schema = call.core.scheme.schema_of(call.resource)
    if schema.kind == "any" or schema.document is not None:
        raise UnsupportedMediaType(NOT_STRATEGIC)
    return lambda old: strategic.apply(old, value, schema)


def _check_type(patched: Obj, resource: Resource) -> None:
    """A patch may leave out what the object is, not change it. BadRequest."""
    have = patched.setdefault("apiVersion", resource.api_version), patched.setdefault("kind", resource.kind)
    if have != (resource.api_version, resource.kind):
        raise BadRequest(
            f"a {resource.kind} of {resource.api_version} cannot be made a {have[1]} of {have[0]} by a patch"
        )


def _conformer(call: Call, body: Body) -> Callable[[Any], Obj]:
    """Brings the patched object into its stored form; warnings of the patch are told once."""
    resource = call.resource
    read = reader(call, body, call.core.scheme.schema_of(resource), resource.kind, resource.version)

    def conform(patched: Any) -> Obj:
        if isinstance(patched, dict):
            try:
                _check_type(patched, resource)
            except BadRequest as error:
                raise _misfit(patched, error.message) from error
        return read(patched)

    return conform


def reader(call: Call, body: Body, schema: Schema, kind: str, version: str) -> Callable[[Any], Obj]:
    """Reads a patched value as an object of a kind. Invalid when it is none."""
    level = call.field_validation()

    def read(patched: Any) -> Obj:
        checked = replace(body, value=patched)
        try:
            obj, warnings = read_object(checked, schema, kind=kind, version=version, field_validation=level)
        except BadRequest as error:
            raise _misfit(patched, error.message.removeprefix(opening(kind, version))) from error
        for text in warnings:
            call.request.warn(text)
        return obj

    return read


def _misfit(patched: Any, why: str) -> Invalid:
    told = f"Invalid value: {orjson.dumps(orjson.dumps(patched).decode()).decode()}: {why}"
    return Invalid(f' "" is invalid: patch: {told}', causes=(Cause("patch", told),))
