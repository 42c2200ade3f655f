"""The definitions of custom resources, as the documents publish them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdist.api.resources import Resource
from kdist.api.schema import Definitions
from kdist.api.scheme import Scheme

_META = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1"
_ROOT: dict[str, Any] = {
    "apiVersion": {"type": "string", "description": "The group and version of the object's form."},
    "kind": {"type": "string", "description": "The kind of the object."},
    "metadata": {"$ref": f"{_META}.ObjectMeta"},
}
# What version 2 has no word for: its readers are told less, and refuse nothing for it.
_UNKNOWN_TO_V2 = frozenset({"oneOf", "anyOf", "not", "nullable"})


def definitions(scheme: Scheme, *, v2: bool = False) -> Definitions:
    """One definition for each custom kind and one for its lists."""
    custom = (resource for resource in scheme if scheme.is_custom(resource))
    return {name: body for resource in custom for name, body in _of(scheme, resource, v2)}


def _of(scheme: Scheme, resource: Resource, v2: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    name = scheme.definition_name(resource.api_version, resource.kind) or ""
    document = scheme.schema_of(resource).document or {}
    body: dict[str, Any] = _told(document, v2)
    body["type"] = "object"
    body["properties"] = {**(body.get("properties") or {}), **_ROOT}
    coordinates = {"group": resource.group, "version": resource.version}
    yield name, {**body, "x-kubernetes-group-version-kind": [{**coordinates, "kind": resource.kind}]}
    items = {"type": "array", "items": {"$ref": f"#/definitions/{name}"}}
    yield (
        f"{name}List",
        {
            "description": f"A list of {resource.kind} objects.",
            "type": "object",
            "required": ["items"],
            "properties": {**_ROOT, "metadata": {"$ref": f"{_META}.ListMeta"}, "items": items},
            "x-kubernetes-group-version-kind": [{**coordinates, "kind": resource.list_kind}],
        },
    )


def _told(node: Any, v2: bool) -> Any:
    """A copy; for version 2 without the words it does not have."""
    if isinstance(node, list):
        return [_told(item, v2) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {field: _told(child, v2) for field, child in value.items()}
        if key == "properties"
        else _told(value, v2)
        for key, value in node.items()
        if not (v2 and key in _UNKNOWN_TO_V2)
    }
