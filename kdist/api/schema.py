"""The published type definitions as a graph of small nodes that validation and patching walk.

The definitions come from the ``kubernetes-validate`` package, which converts what upstream publishes: nullable
types, enums of kind and apiVersion, ``oneOf`` for two-typed values. :func:`restore` undoes that.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson

#: For every type the fields whose zero values are written in a form of their own: what upstream's JSON looks like
#: follows from it, so that an object read from one server and written to the other stays the same.
_FORMS = Path(__file__).parent / "wireforms.json"
# Optional strings for which the empty string is a value of its own, in types that the table does not know.
_EMPTY_MEANS_SOMETHING = frozenset(
    {"apiGroup", "appProtocol", "deprecationWarning", "holderIdentity", "name", "storageClassName"}
)

Definitions = dict[str, dict[str, Any]]

_PREFIX = "#/$defs/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_SPECIAL = {
    _QUANTITY: "quantity",
    _INT_OR_STRING: "int-or-string",
    _TIME: "time",
    _MICRO_TIME: "micro-time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}


class Schema:
    """One type. ``kind`` says which other fields mean something.

    kind is ``object`` (properties, required), ``map`` or ``array`` (items), ``string``, ``integer``, ``number``,
    ``boolean``, ``quantity``, ``int-or-string``, ``time``, ``micro-time`` or ``any`` (free form).
    """

    __slots__ = (
        "document",
        "drops",
        "emits",
        "format",
        "items",
        "keeps",
        "kind",
        "list_keys",
        "list_type",
        "map_type",
        "merge_key",
        "name",
        "optional",
        "properties",
        "required",
        "strategies",
    )

    def __init__(self, kind: str, name: str = "", format: str = "") -> None:
        self.kind = kind
        #: The definition's full name; empty for types that have none.
        self.name = name
        self.format = format
        self.properties: dict[str, Schema] = {}
        self.required: tuple[str, ...] = ()
        #: Of an object: it may be absent, so that it is a field itself besides what is in it (custom types).
        self.optional = False
        self.items: Schema | None = None
        #: How zero values are written: numbers and booleans left out at zero, texts, lists and maps kept when
        #: empty, fields written even when the client left them out.
        self.drops: frozenset[str] = frozenset()
        self.keeps: frozenset[str] = frozenset()
        self.emits: tuple[str, ...] = ()
        #: Strategic merge patch: the key of list items, and any of merge, replace, retainKeys.
        self.merge_key = ""
        self.strategies: tuple[str, ...] = ()
        #: Server-side apply: atomic, set or map for lists (with their keys); atomic or granular for maps.
        self.list_type = ""
        self.list_keys: tuple[str, ...] = ()
        self.map_type = ""
        #: The openAPIV3Schema of a custom resource, on the type of its whole objects.
        self.document: dict[str, Any] | None = None

    @property
    def short_name(self) -> str:
        """The type's own name: ``PodSpec``."""
        return self.name.rpartition(".")[2]

    def child(self, field: str) -> Schema | None:
        """The type of a field of an object, of a map's values; None when it is unknown or free form."""
        return self.items if self.kind == "map" else self.properties.get(field)

    def __repr__(self) -> str:
        return f"Schema({self.kind} {self.name})"


ANY = Schema("any")


def definitions_path(level: str, directory: Path) -> Path:
    """Where the definitions of an API level (``1.32``) lie below the data directory."""
    return directory / f"v{level}.0-local" / "_definitions.json"


def read_definitions(level: str, directory: Path) -> Definitions:
    """The definitions as upstream publishes them, with descriptions. Raises FileNotFoundError."""
    document = orjson.loads(definitions_path(level, directory).read_bytes())
    return {name: restore(name, body) for name, body in document["$defs"].items()}


def restore(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Undo the package's conversions in one definition; changes and returns ``body``."""
    if name == _QUANTITY:
        return {"description": body.get("description", ""), "type": "string"}
    if name == _INT_OR_STRING:
        return {"type": "string", "format": "int-or-string"}
    _restore_types(body)
    for field in ("apiVersion", "kind"):
        (body.get("properties") or {}).get(field, {}).pop("enum", None)
    return body


def _restore_types(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, list):
        node["type"] = next(k for k in kind if k != "null")
    if "$ref" in node:
        node["$ref"] = node["$ref"].replace(_PREFIX, "#/definitions/")
    for child in (node.get("properties") or {}).values():
        _restore_types(child)
    for field in ("items", "additionalProperties"):
        if isinstance(node.get(field), dict):
            _restore_types(node[field])


def build(definitions: Definitions) -> dict[str, Schema]:
    """One Schema per definition, linked to each other."""
    nodes = {name: Schema(_kind(name, body), name) for name, body in definitions.items()}
    builder = _Builder(nodes)
    forms = orjson.loads(_FORMS.read_bytes())
    for name, body in definitions.items():  # before the links: a reference with extensions is a copy
        _form(nodes[name], body, forms.get(name))
        builder.describe(nodes[name], body)
    for name, body in definitions.items():
        builder.fill(nodes[name], body)
    return nodes


def written_always() -> dict[str, frozenset[str]]:
    """The fields of each known type that are written even when the client left them out."""
    forms: dict[str, dict[str, list[str]]] = orjson.loads(_FORMS.read_bytes())
    return {name: frozenset(form.get("emits", ())) for name, form in forms.items()}


def _form(node: Schema, body: dict[str, Any], form: dict[str, list[str]] | None) -> None:
    """Say how zero values are written; of types that the table does not know, required fields are kept."""
    if form is None:
        node.keeps = frozenset(body.get("required") or ()) | _EMPTY_MEANS_SOMETHING
        return
    known = body.get("properties") or {}
    node.drops = frozenset(form.get("drops", ()))
    node.emits = tuple(field for field in form.get("emits", ()) if field in known)
    node.keeps = frozenset(form.get("keeps", ())) | frozenset(node.emits)


def _kind(name: str, body: dict[str, Any]) -> str:
    if name in _SPECIAL:
        return _SPECIAL[name]
    if body.get("type") == "object" and not body.get("properties"):
        return "map" if "additionalProperties" in body else "object"
    return str(body.get("type") or "any")


class _Builder:
    """Fills nodes; equal scalar types share one node."""

    def __init__(self, nodes: dict[str, Schema]) -> None:
        self._nodes = nodes
        self._scalars: dict[tuple[str, str], Schema] = {}

    def describe(self, node: Schema, body: dict[str, Any]) -> None:
        """What a node says of itself."""
        node.required = tuple(body.get("required") or ())
        self._extend(node, body)

    def fill(self, node: Schema, body: dict[str, Any]) -> None:
        """Link a node to those of its fields."""
        for field, child in (body.get("properties") or {}).items():
            node.properties[field] = self._type(child)

    def _type(self, body: dict[str, Any]) -> Schema:
        if "$ref" in body:
            target = self._nodes[body["$ref"].removeprefix("#/definitions/")]
            if not any(k.startswith("x-kubernetes") for k in body):
                return target
            node = copy.copy(target)  # shares the properties, which may not be filled yet
            self._extend(node, body)
            return node
        kind = body.get("type") or "any"
        if kind == "array":
            node = Schema("array")
            node.items = self._type(body["items"])
        elif kind == "object":
            values = body.get("additionalProperties")
            node = Schema("map" if isinstance(values, dict) else "any")
            node.items = self._type(values) if isinstance(values, dict) else None
        else:
            key = (kind, body.get("format", ""))
            return self._scalars.setdefault(key, Schema(*key[:1], format=key[1]))
        self._extend(node, body)
        return node

    @staticmethod
    def _extend(node: Schema, body: dict[str, Any]) -> None:
        node.merge_key = body.get("x-kubernetes-patch-merge-key", node.merge_key)
        if strategy := body.get("x-kubernetes-patch-strategy"):
            node.strategies = tuple(strategy.split(","))
        node.list_type = body.get("x-kubernetes-list-type", node.list_type)
        node.list_keys = tuple(body.get("x-kubernetes-list-map-keys", node.list_keys))
        node.map_type = body.get("x-kubernetes-map-type", node.map_type)
