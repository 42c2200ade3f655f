"""The definitions of custom resources, as the documents publish them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.api.schema import Definitions
from kdist.api.scheme import Scheme

Document = dict[str, Any]
SelectableFields = Callable[[Resource], list[str]]

_META = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EMBEDDED = "x-kubernetes-embedded-resource"
# What version 2 has no word for: its readers are told less, and refuse nothing for it.
_UNKNOWN_TO_V2 = ("allOf", "oneOf", "anyOf", "not", "default")


def definitions(
    scheme: Scheme, builtin: Definitions, selectable: SelectableFields, *, v2: bool = False
) -> Definitions:
    """One definition for each custom kind and one for its lists; ``builtin`` has the words for common fields."""
    words = builtin["io.k8s.api.core.v1.Namespace"]["properties"]
    custom = (resource for resource in scheme if scheme.is_custom(resource))
    return {
        name: body
        for resource in custom
        for name, body in _Kind(scheme, resource, words, selectable(resource), v2=v2).definitions()
    }


class _Kind:
    """The two definitions of one custom kind."""

    def __init__(
        self, scheme: Scheme, resource: Resource, words: Document, selectable: list[str], *, v2: bool
    ) -> None:
        self._resource, self._words, self._v2 = resource, words, v2
        self._name = scheme.definition_name(resource.api_version, resource.kind) or ""
        self._document: Obj = scheme.schema_of(resource).document or {}
        self._selectable = [{"fieldPath": path} for path in selectable]

    def definitions(self) -> Iterator[tuple[str, Document]]:
        yield self._name, self._told(self._object(), self._resource.kind)
        yield f"{self._name}List", self._told(self._list(), self._resource.list_kind)

    def _told(self, body: Document, kind: str) -> Document:
        group, version = self._resource.group, self._resource.version
        body["x-kubernetes-group-version-kind"] = [{"group": group, "version": version, "kind": kind}]
        body["x-kubernetes-selectable-fields"] = self._selectable
        return body

    def _object(self) -> Document:
        if not self._document or (self._v2 and self._document.get(_PRESERVE)):
            # any property told here would make clients believe that there are no others
            return {"type": "object"}
        body: Document = self._with_embedded((for_v2 if self._v2 else unfolded)(self._document))
        body["properties"] = {
            **(body.get("properties") or {}),
            **self._words_of("apiVersion", "kind", "metadata"),
        }
        return body

    def _words_of(self, *fields: str) -> Document:
        return {field: self._words[field] for field in fields}

    def _with_embedded(self, node: Any) -> Any:
        """A copy in which embedded objects have the fields that every object has."""
        if not isinstance(node, dict):
            return node
        body = dict(node)
        for key in ("items", "additionalProperties"):
            if key in body:
                body[key] = self._with_embedded(body[key])
        if "properties" in body:
            body["properties"] = {f: self._with_embedded(child) for f, child in body["properties"].items()}
        if body.get(_EMBEDDED) and not (self._v2 and body.get(_PRESERVE)):
            common = self._words_of("apiVersion", "kind", "metadata")
            body["properties"] = {**(body.get("properties") or {}), **common}
            required = body.get("required") or []
            body["required"] = [*required, *(f for f in ("kind", "apiVersion") if f not in required)]
        return body

    def _list(self) -> Document:
        resource = self._resource
        items = {
            "description": f"The {resource.plural} of the list.",
            "type": "array",
            "items": {"$ref": f"#/definitions/{self._name}"},
        }
        metadata = {"description": "What is told of the list as a whole.", "$ref": f"{_META}.ListMeta"}
        return {
            "description": f"{resource.list_kind} is a list of {resource.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {**self._words_of("apiVersion", "kind"), "metadata": metadata, "items": items},
        }


def unfolded(schema: Document) -> Document:
    """A copy in which an int-or-string says what it may be."""
    body = _children(schema, unfolded)
    if body.get(_INT_OR_STRING) and not body.get("anyOf") and not body.get("allOf"):
        body["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return body


def for_v2(schema: Document) -> Document:
    """A copy without what version 2 cannot say, or what kubectl takes to mean more than it does."""
    body = {key: value for key, value in schema.items() if key not in _UNKNOWN_TO_V2}
    nullable, preserves = body.pop("nullable", False), body.get(_PRESERVE)
    if nullable:
        body.pop("type", None)
    if nullable or preserves:
        body.pop("items", None)
        body.pop("properties", None)
    if preserves and body.get("type") == "object":
        del body["type"]
    if body.get("type") == "array" and "items" not in body:
        del body["type"]
    _drop_nullable_required(body)
    return _children(body, for_v2)


def _drop_nullable_required(body: Document) -> None:
    properties, values = body.get("properties") or {}, body.get("additionalProperties")
    required = [f for f in body.get("required") or () if not (properties.get(f) or {}).get("nullable")]
    if isinstance(values, dict) and values.get("nullable"):
        required = []
    body.pop("required", None)
    if required:
        body["required"] = required


def _children(schema: Document, change: Callable[[Document], Document]) -> Document:
    body = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(body.get(key), dict):
            body[key] = change(body[key])
    if body.get("properties"):
        body["properties"] = {field: change(child) for field, child in body["properties"].items()}
    return body
