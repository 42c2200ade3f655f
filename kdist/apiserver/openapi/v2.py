"""OpenAPI v2 (Swagger): everything in one document."""

from __future__ import annotations

from typing import Any

from kdist.api.schema import Definitions
from kdist.apiserver.openapi import parameters
from kdist.apiserver.openapi.operations import META, Operation
from kdist.apiserver.openapi.v3 import STATUSES, UNAUTHORIZED, by_path, kind, reachable

SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}
_DEFINITIONS = "#/definitions/"
#: Bodies that many operations share.
_SHARED_BODIES = {f"{META}.DeleteOptions": "deletion", f"{META}.Patch": "patch"}


def document(operations: list[Operation], definitions: Definitions, level: str) -> dict[str, Any]:
    """The whole server as one document."""
    used = reachable([n for o in operations for n in (o.body, o.answer) if n], definitions)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": level},
        "paths": {path: _path(path, found) for path, found in by_path(operations)},
        "definitions": {name: definitions[name] for name in sorted(used)},
        "parameters": {**parameters.shared(), **_bodies()},
        "securityDefinitions": SECURITY,
        "security": [{"BearerToken": []}],
    }


def _bodies() -> dict[str, Any]:
    return {f"body-of-{word}": _body(name) for name, word in _SHARED_BODIES.items()}


def _body(name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": "body", "in": "body", "schema": {"$ref": _DEFINITIONS + name}}
    return body if name.endswith(".DeleteOptions") else {**body, "required": True}


def _path(path: str, operations: list[Operation]) -> dict[str, Any]:
    common, names = parameters.at_path(path, [o.parameters for o in operations])
    found: dict[str, Any] = {o.method: _operation(o, names) for o in operations}
    if common:
        found["parameters"] = [parameters.for_v2(p) for p in common]
    return found


def _operation(operation: Operation, common: frozenset[str]) -> dict[str, Any]:
    own = [n for n in operation.parameters if n not in common]
    listed = [parameters.for_v2(parameters.in_query(n)) for n in sorted(own)]
    if operation.body in _SHARED_BODIES:
        listed.insert(0, {"$ref": f"#/parameters/body-of-{_SHARED_BODIES[operation.body]}"})
    elif operation.body:
        listed.insert(0, _body(operation.body))
    answer = {"$ref": _DEFINITIONS + operation.answer} if operation.answer else {"type": "string"}
    responses = {code: {"description": STATUSES[code], "schema": answer} for code in operation.codes}
    return {
        "description": operation.description,
        **({"consumes": list(operation.consumes)} if operation.consumes else {}),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.identifier,
        **({"parameters": listed} if listed else {}),
        "responses": {**responses, **UNAUTHORIZED},
        **kind(operation),
    }
