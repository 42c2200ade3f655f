"""What one CustomResourceDefinition comes to: a resource and a type for each served version. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.api.resources import Resource, Subresource
from kdist.api.schema import ANY, Schema
from kdist.api.scheme import version_order
from kdist.apiserver.crd.shaping import PRESERVE

INT_OR_STRING = "x-kubernetes-int-or-string"
_READ_WRITE = ("get", "patch", "update")
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
# While the definition goes, its objects can be changed, as finalizers have to go, but discovery tells less.
_TERMINATING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
_TERMINATING_UNLISTED = ("patch", "update")


@dataclass(frozen=True, slots=True)
class Served:
    """One served version: its resource, the type of its objects, and its entry in the definition."""

    resource: Resource
    schema: Schema
    version: Obj


def condition(crd: Obj, kind: str) -> bool:
    """Whether a condition of the definition is true."""
    return any(
        c.get("type") == kind and c.get("status") == "True"
        for c in (crd.get("status") or {}).get("conditions") or ()
    )


def served(crd: Obj, metadata: Schema) -> list[Served]:
    """The served versions in order of preference. ``metadata`` is the type of every object's metadata."""
    versions = sorted(crd["spec"]["versions"], key=lambda v: version_order(v["name"]))
    return [
        Served(resource(crd, version), root_type(document_of(version), metadata), version)
        for version in versions
        if version.get("served")
    ]


def document_of(version: Obj) -> Obj:
    """A version's openAPIV3Schema."""
    document: Obj = meta.get(version, "schema.openAPIV3Schema", {})
    return document


def resource(crd: Obj, version: Obj) -> Resource:
    """One version as a resource; while its definition is being deleted there are no new objects."""
    spec = crd["spec"]
    names = meta.get(crd, "status.acceptedNames", {})
    stored = next(v["name"] for v in spec["versions"] if v.get("storage"))
    group, name = spec["group"], version["name"]
    return Resource(
        group=group,
        version=name,
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        verbs=_TERMINATING_VERBS if meta.is_deleting(crd) else _VERBS,
        unlisted_verbs=_TERMINATING_UNLISTED if meta.is_deleting(crd) else (),
        deprecation=_deprecation(spec, version),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources={s.name: s for s in _subresources(group, version, names["kind"])},
        storage_prefix=f"/registry/{group}/{names['plural']}/",
        stored_as="" if stored == name else f"{group}/{stored}",
        collection_kind=names.get("listKind") or "",
    )


def _deprecation(spec: Obj, version: Obj) -> str:
    """What users of a deprecated version are told."""
    if not version.get("deprecated"):
        return ""
    if warning := version.get("deprecationWarning"):
        return str(warning)
    group, kind = spec["group"], spec["names"]["kind"]
    told = f"{group}/{version['name']} {kind} is deprecated"
    others = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    newer = [v for v in others if version_order(v) < version_order(version["name"])]
    return f"{told}; use {group}/{min(newer, key=version_order)} {kind}" if newer else told


def _subresources(group: str, version: Obj, kind: str) -> Iterator[Subresource]:
    declared = version.get("subresources") or {}
    if "status" in declared:
        yield Subresource("status", group, version["name"], kind, _READ_WRITE)
    if "scale" in declared:
        yield Subresource("scale", "autoscaling", "v1", "Scale", _READ_WRITE)


# ----- types


def root_type(document: Obj, metadata: Schema) -> Schema:
    """The type of whole objects, with the document that pruning and validation go by."""
    root = _type({**document, "type": "object"})
    if root.kind != "object":
        root = Schema("object")
    for field in ("apiVersion", "kind"):
        root.properties[field] = Schema("string")
    root.properties["metadata"] = metadata
    root.map_type = ""
    root.optional = False
    root.document = document
    return root


def _type(document: Obj) -> Schema:
    """A schema as merging and field ownership see it."""
    if document.get(INT_OR_STRING):
        return Schema("int-or-string")
    kind = document.get("type") or "any"
    if kind == "array":
        node = Schema("array")
        node.items = _type(document.get("items") or {})
        node.list_type = document.get("x-kubernetes-list-type", "")
        node.list_keys = tuple(document.get("x-kubernetes-list-map-keys") or ())
        return node
    if kind != "object":
        return Schema(kind, format=document.get("format", ""))
    return _object(document)


def _object(document: Obj) -> Schema:
    properties, values = document.get("properties"), document.get("additionalProperties")
    if properties or document.get(PRESERVE):
        node = Schema("object")
        node.properties = {field: _type(child) for field, child in (properties or {}).items()}
    elif isinstance(values, dict):
        node = Schema("map")
        node.items = _type(values)
    else:
        node = Schema("object")
    node.optional = node.kind == "object"
    if node.kind == "map" and node.items is None:
        node.items = ANY
    node.map_type = document.get("x-kubernetes-map-type", "")
    return node
