"""OpenAPI v2 (Swagger): everything in one document."""

from __future__ import annotations

from typing import Any

from kdist.api.schema import Definitions
from kdist.apiserver.openapi.operations import PARAMETER_TYPES, Operation
from kdist.apiserver.openapi.v3 import reachable

_PRODUCES = ["application/json", "application/yaml"]


def document(operations: list[Operation], definitions: Definitions, level: str) -> dict[str, Any]:
    """The whole server as one document."""
    used = reachable([n for o in operations for n in (o.body, o.answer) if n], definitions)
    paths: dict[str, Any] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method] = _operation(operation)
        path["parameters"] = _path_parameters(operation)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": level},
        "paths": dict(sorted(paths.items())),
        "definitions": {name: definitions[name] for name in sorted(used)},
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [n for n, there in (("name", operation.named), ("namespace", operation.namespaced)) if there]
    found: list[dict[str, Any]] = [
        {"name": n, "in": "path", "required": True, "type": "string", "uniqueItems": True} for n in names
    ]
    return [*found, _query("pretty")]


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "type": PARAMETER_TYPES.get(name, "string"), "uniqueItems": True}


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [_query(name) for name in operation.parameters]
    if operation.body:
        body: dict[str, Any] = {"name": "body", "in": "body"}
        if operation.method != "delete":
            body["required"] = True
        parameters.insert(0, {**body, "schema": {"$ref": f"#/definitions/{operation.body}"}})
    answer: dict[str, Any] = {"type": "string"}
    if operation.answer:
        answer = {"$ref": f"#/definitions/{operation.answer}"}
    return {
        "description": operation.description,
        "consumes": list(operation.consumes),
        "produces": _PRODUCES,
        "schemes": ["https"],
        "operationId": operation.identifier,
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "schema": answer},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {
            "group": operation.group,
            "version": operation.version,
            "kind": operation.kind,
        },
    }
