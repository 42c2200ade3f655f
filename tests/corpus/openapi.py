"""What a server's OpenAPI documents say: ``python -m tests.corpus.openapi KUBECONFIG`` writes upstream's down.

Facts alone: operations with their identifiers, parameters, types and schemas; of each definition a hash for every
field (type, format, references, defaults, values, extensions), and no descriptions. Both versions tell the same
operations, so they are written once. ``definitions.yaml`` has custom resources that are served meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.corpus.transport import Call, Https, Transport

Facts = dict[str, Any]
EXPECTED = Path(__file__).parent / "expected" / "openapi.json"
_DEFINITIONS = Path(__file__).parent / "definitions.yaml"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_BODY = "body"
_PUBLISHED_WITHIN = 60


def custom_resource_definitions() -> list[Any]:
    """What has to be served for the custom part."""
    return list(yaml.safe_load_all(_DEFINITIONS.read_text()))


async def ask(transport: Transport) -> Facts:
    """The facts of all documents of a server that serves the custom resources."""
    v2 = (await transport.send(Call("GET", "/openapi/v2"))).body
    index = (await transport.send(Call("GET", "/openapi/v3"))).body["paths"]
    documents = {}
    for path, entry in index.items():
        target, _, query = entry["serverRelativeURL"].partition("?")
        call = Call("GET", target, query=dict([query.split("=", 1)]))
        documents[path] = (await transport.send(call)).body
    return facts(v2, documents)


def facts(v2: Any, documents: dict[str, Any]) -> Facts:
    """The facts of a version 2 document and of all of version 3, by path."""
    resolved = {f"#/parameters/{name}": body for name, body in v2.get("parameters", {}).items()}
    schemas: dict[str, Any] = {}
    for document in documents.values():
        schemas |= document["components"].get("schemas", {})
    return {
        "v2": {"info": v2["info"], "security": [v2["security"], _plain(v2["securityDefinitions"])]},
        "v3": {path: _about(document) for path, document in documents.items()},
        "v2 operations": dict(_operations(v2["paths"], resolved)),
        "v3 operations": {
            told: fact for document in documents.values() for told, fact in _operations(document["paths"], {})
        },
        "v2 definitions": {name: _hashes(body) for name, body in v2["definitions"].items()},
        "v3 definitions": {name: _hashes(body) for name, body in schemas.items()},
    }


def _about(document: Any) -> Facts:
    components = document["components"]
    names = sorted(components.get("schemas", {}))
    return {
        "info": document["info"],
        "security": _plain(components.get("securitySchemes", {})),
        "paths": _hash(sorted(document["paths"])),
        "schemas": f"{len(names)}: {_hash(names)}",
    }


def _operations(paths: dict[str, Any], shared: dict[str, Any]) -> Iterator[tuple[str, Facts]]:
    for path, item in paths.items():
        common = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                listed = [(p, "path") for p in common] + [(p, "") for p in operation.get("parameters", [])]
                told = [(shared.get(p.get("$ref"), p), where) for p, where in listed]
                yield f"{method} {path}", _operation(operation, told)


def _operation(operation: Any, listed: list[tuple[Any, str]]) -> Facts:
    bodies = [p for p, _ in listed if p["in"] == _BODY]
    fact: Facts = {
        "id": operation["operationId"],
        "tags": operation["tags"],
        "action": operation.get("x-kubernetes-action", ""),
        "kind": operation.get("x-kubernetes-group-version-kind", {}),
        "parameters": sorted(_parameter(p, where) for p, where in listed if p["in"] != _BODY),
    }
    if body := operation.get("requestBody"):
        fact["body"] = [_target(next(iter(body["content"].values()))), body.get("required", False)]
        fact["consumes"] = sorted(body["content"])
    elif bodies:
        fact["body"] = [_target(bodies[0]), bodies[0].get("required", False)]
        fact["consumes"] = sorted(operation["consumes"])
    produced = _produced(operation)
    fact["produces"] = sorted(t for t in produced if "protobuf" not in t)  # ours answers none
    fact["responses"] = {code: _response(answer) for code, answer in operation["responses"].items()}
    return fact


def _parameter(parameter: Any, where: str) -> str:
    schema = parameter.get("schema", parameter)
    flags = ("required" if parameter.get("required") else "", "unique" if schema.get("uniqueItems") else "")
    return " ".join(
        word
        for word in (parameter["name"], parameter["in"], schema["type"], *flags, where and "shared")
        if word
    )


def _produced(operation: Any) -> list[str]:
    return operation.get("produces") or list(operation["responses"]["200"]["content"])


def _response(answer: Any) -> str:
    content = answer.get("content")
    return _target(next(iter(content.values())) if content else answer)


def _target(body: Any) -> str:
    schema = body.get("schema", {})
    return str(schema.get("$ref", schema.get("type", ""))).rpartition("/")[2]


def _hashes(body: Any) -> dict[str, str]:
    whole = _plain({key: value for key, value in body.items() if key != "properties"})
    fields = {field: _hash(_plain(child)) for field, child in body.get("properties", {}).items()}
    return {"": _hash(whole), **fields}


def _plain(node: Any) -> Any:
    """Without descriptions, and what has no order in a fixed one."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    told = {k: _plain(v) for k, v in node.items() if not (k == "description" and isinstance(v, str))}
    return {
        k: sorted(v) if k in ("required", "enum") and v and isinstance(v[0], str) else v
        for k, v in told.items()
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def expected() -> Facts:
    """What upstream's server told."""
    kept = orjson.loads(EXPECTED.read_bytes())
    values = kept.pop("values")
    v2 = {told: _whole(fact, values) for told, fact in kept.pop("operations").items()}
    v3 = {**v2, **{told: _whole(fact, values) for told, fact in kept.pop("v3 otherwise").items()}}
    return {**kept, "v2 operations": v2, "v3 operations": v3}


_REPEATED = ("tags", "kind", "parameters", "body", "consumes", "produces", "responses")


def _whole(fact: Facts, values: list[Any]) -> Facts:
    return {key: values[value] if key in _REPEATED else value for key, value in fact.items()}


def compact(found: Facts) -> Facts:
    """Facts as they are kept: values that operations share are numbered."""
    values: list[Any] = []

    def numbered(fact: Facts) -> Facts:
        for key in _REPEATED:
            if key in fact and fact[key] not in values:
                values.append(fact[key])
        return {k: values.index(v) if k in _REPEATED else v for k, v in fact.items()}

    v2, v3 = found["v2 operations"], found["v3 operations"]
    assert v2.keys() == v3.keys(), sorted(v2.keys() ^ v3.keys())
    return {
        **{key: value for key, value in found.items() if not key.endswith(" operations")},
        "operations": {told: numbered(fact) for told, fact in v2.items()},
        "v3 otherwise": {told: numbered(fact) for told, fact in v3.items() if fact != v2[told]},
        "values": values,
    }


async def serve(transport: Transport, turns: int = _PUBLISHED_WITHIN, pause: float = 1.0) -> None:
    """Make sure that the custom resources are served and published; look every ``pause`` seconds."""
    groups = set()
    for definition in custom_resource_definitions():
        await transport.send(Call("POST", _CRDS, definition))
        groups.add(definition["spec"]["group"])
    for _ in range(turns):
        paths = (await transport.send(Call("GET", "/openapi/v2"))).body["paths"]
        if all(any(group in path for path in paths) for group in groups):
            return
        await asyncio.sleep(pause)
    raise TimeoutError(f"{sorted(groups)} were not published after {turns} looks")


async def stop_serving(transport: Transport) -> None:
    """Take the custom resources away and wait until they are."""
    groups = {definition["spec"]["group"] for definition in custom_resource_definitions()}
    for definition in custom_resource_definitions():
        await transport.send(Call("DELETE", f"{_CRDS}/{definition['metadata']['name']}"))
    for _ in range(_PUBLISHED_WITHIN):
        told = (await transport.send(Call("GET", "/apis"))).body["groups"]
        if not groups & {group["name"] for group in told}:
            return
        await asyncio.sleep(1)
    raise TimeoutError(f"{sorted(groups)} were still served after {_PUBLISHED_WITHIN} s")


async def _main(kubeconfig: Path) -> None:
    async with Https(kubeconfig) as transport:
        await serve(transport)
        found = compact(await ask(transport))
    parts = [f"{orjson.dumps(name).decode()}: {by_line(part)}" for name, part in found.items()]
    EXPECTED.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def by_line(part: Any) -> str:
    """JSON with a line for each entry."""

    def dumped(value: Any) -> str:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    if isinstance(part, list):
        return "[\n" + ",\n".join(map(dumped, part)) + "\n]"
    return "{\n" + ",\n".join(f"{dumped(k)}: {dumped(v)}" for k, v in sorted(part.items())) + "\n}"


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
