"""OpenAPI v3: one document per group and version, with the definitions that its operations reach."""

from __future__ import annotations

from typing import Any

from kdist.api.schema import Definitions
from kdist.apiserver.openapi.operations import PARAMETER_TYPES, Operation, tag

_JSON = ("application/json", "application/yaml")
_SCHEMAS = "#/components/schemas/"


def document(operations: list[Operation], definitions: Definitions, level: str) -> dict[str, Any]:
    """The document of some operations; ``definitions`` are all there are."""
    used = reachable([n for o in operations for n in (o.body, o.answer) if n], definitions)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": level},
        "paths": _paths(operations),
        "components": {"schemas": {name: schema(name, definitions[name]) for name in sorted(used)}},
    }


def reachable(names: list[str], definitions: Definitions) -> set[str]:
    """The definitions that the named ones refer to, and themselves."""
    found: set[str] = set()
    pending = [n for n in names if n in definitions]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _references(definitions[name])
    return found


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [r for item in node for r in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].removeprefix("#/definitions/")] if isinstance(node.get("$ref"), str) else []
    return own + [r for key, item in node.items() if key != "$ref" for r in _references(item)]


def schema(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """A definition in the terms of v3: two-typed values, references beside other keywords."""
    if name.endswith(".IntOrString"):
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    if name.endswith(".resource.Quantity"):
        return {
            "description": body.get("description", ""),
            "oneOf": [{"type": "string"}, {"type": "number"}],
        }
    converted: dict[str, Any] = _convert(body)
    return converted


def _convert(node: Any) -> Any:
    if isinstance(node, list):
        return [_convert(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        reference = {"$ref": node["$ref"].replace("#/definitions/", _SCHEMAS)}
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**rest, "allOf": [reference]} if rest else reference
    return {key: _convert(value) for key, value in node.items()}


def _paths(operations: list[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method] = _operation(operation)
        path["parameters"] = _path_parameters(operation)
    return dict(sorted(paths.items()))


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [n for n, there in (("name", operation.named), ("namespace", operation.namespaced)) if there]
    found: list[dict[str, Any]] = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for n in names
    ]
    return [*found, _query("pretty")]


def _query(name: str) -> dict[str, Any]:
    kind = PARAMETER_TYPES.get(name, "string")
    return {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [tag(*_coordinates(operation.path))],
        "description": operation.description,
        "operationId": operation.identifier,
        **({"parameters": [_query(n) for n in operation.parameters]} if operation.parameters else {}),
        "responses": _responses(operation),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": operation.group,
            "version": operation.version,
            "kind": operation.kind,
        },
    }
    if operation.body:
        types = operation.consumes
        content = {t: {"schema": {"$ref": _SCHEMAS + operation.body}} for t in types}
        found["requestBody"] = {"content": content}
        if operation.method != "delete":
            found["requestBody"]["required"] = True
    return found


def _coordinates(path: str) -> tuple[str, str]:
    parts = path.split("/")
    return (parts[2], parts[3]) if parts[1] == "apis" else ("", parts[2])


def _responses(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"type": "string"}}}
    if operation.answer:
        content = {t: {"schema": {"$ref": _SCHEMAS + operation.answer}} for t in _JSON}
    codes = {"post": ("200", "201", "202"), "put": ("200", "201"), "patch": ("200", "201")}
    told = {"200": "OK", "201": "Created", "202": "Accepted"}
    found: dict[str, Any] = {
        code: {"description": told[code], "content": content}
        for code in codes.get(operation.method, ("200",))
    }
    return {**found, "401": {"description": "Unauthorized"}}
