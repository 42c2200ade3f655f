"""OpenAPI v3: one document per group and version, with the definitions that its operations reach."""

from __future__ import annotations

from typing import Any

from kdist.api.schema import Definitions
from kdist.apiserver.openapi import defaults, parameters
from kdist.apiserver.openapi.operations import Operation

SCHEMAS = "#/components/schemas/"
STATUSES = {"200": "OK", "201": "Created", "202": "Accepted"}
UNAUTHORIZED = {"401": {"description": "Unauthorized"}}
_SECURITY = {
    "BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }
}


def document(operations: list[Operation], definitions: Definitions, level: str) -> dict[str, Any]:
    """The document of some operations; ``definitions`` are all there are."""
    used = reachable([n for o in operations for n in (o.body, o.answer) if n], definitions)
    schemas = {name: schema(name, definitions[name]) for name in sorted(used)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": level},
        "paths": {path: _path(path, found) for path, found in by_path(operations)},
        "components": {**({"schemas": schemas} if schemas else {}), "securitySchemes": _SECURITY},
    }


def by_path(operations: list[Operation]) -> list[tuple[str, list[Operation]]]:
    """The operations of each path."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.path, []).append(operation)
    return sorted(found.items())


def kind(operation: Operation) -> dict[str, Any]:
    """What is done to objects of which kind, in the words of clients that look operations up by it."""
    if operation.kind is None:
        return {}
    coordinates = dict(zip(("group", "version", "kind"), operation.kind, strict=True))
    return {"x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": coordinates}


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
    converted: dict[str, Any] = _convert(defaults.completed(name, body))
    return converted


def _convert(node: Any) -> Any:
    if isinstance(node, list):
        return [_convert(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        reference = {"$ref": node["$ref"].replace("#/definitions/", SCHEMAS)}
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**rest, "allOf": [reference]} if rest else reference
    return {key: _convert(value) for key, value in node.items()}


def _path(path: str, operations: list[Operation]) -> dict[str, Any]:
    common, names = parameters.at_path(path, [o.parameters for o in operations])
    found: dict[str, Any] = {o.method: _operation(o, names) for o in operations}
    if common:
        found["parameters"] = [parameters.for_v3(p) for p in common]
    return found


def _operation(operation: Operation, common: frozenset[str]) -> dict[str, Any]:
    own = [n for n in operation.parameters if n not in common]
    listed = [parameters.for_v3(parameters.in_query(n)) for n in sorted(own)]
    found: dict[str, Any] = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.identifier,
        **({"parameters": listed} if listed else {}),
    }
    if operation.body:
        body = {"content": _content(operation.consumes, operation.body)}
        found["requestBody"] = {**body, "required": True} if operation.needs_body else body
    return {**found, "responses": _responses(operation), **kind(operation)}


def _content(types: tuple[str, ...], name: str) -> dict[str, Any]:
    told = {"$ref": SCHEMAS + name} if name else {"type": "string"}
    return {t: {"schema": told} for t in types}


def _responses(operation: Operation) -> dict[str, Any]:
    content = _content(operation.produces, operation.answer)
    found = {code: {"description": STATUSES[code], "content": content} for code in operation.codes}
    return {**found, **UNAUTHORIZED}
