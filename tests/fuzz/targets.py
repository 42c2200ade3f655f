"""What reads bytes or text that clients send, each as a function that may only fail as its contract says.

Used by tests/unit/apiserver/test_hostile_input.py (hypothesis, quick) and by scripts/fuzz (coverage-guided, for hours).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import Any

import orjson

from kdist.api import meta, quantity
from kdist.api.errors import ApiError
from kdist.api.patch import apply as applied
from kdist.api.patch import json as json_patch
from kdist.api.patch import managed, merge, strategic
from kdist.api.resources import Resource
from kdist.api.scheme import Scheme
from kdist.api.selectors import SelectorError, parse_field_selector, parse_label_selector
from kdist.apiserver import conversion, negotiation, objectmeta, protobuf, registry, requestinfo, tables
from kdist.apiserver.handlers import paging
from kdist.apiserver.handlers.patching import Patch
from kdist.apiserver.participants import Act
from kdist.apiserver.validation import conform, decode, read_object
from tests.fuzz.objects import hostile

LEVEL = "1.32"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x", "namespace": "default", "labels": {"a": "b"}, "finalizers": ["a/b"]},
    "spec": {
        "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "E"}]}],
        "tolerations": [{"key": "k"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}


@functools.cache
def scheme() -> Scheme:
    """The types of one level."""
    return Scheme.load(LEVEL)


@functools.cache
def writable() -> list[Resource]:
    """Every resource that objects are made of."""
    return [resource for resource in scheme() if {"create", "list"} <= set(resource.verbs)]


def _pod() -> dict[str, Any]:
    copied: dict[str, Any] = orjson.loads(orjson.dumps(POD))
    return copied


def body(data: bytes) -> None:
    """A JSON, YAML or protobuf body of a pod."""
    schema = scheme().schema("v1", "Pod")
    assert schema is not None
    level = ("Strict", "Warn", "Ignore")[len(data) % 3]
    for media_type in ("application/json", "application/yaml"):
        try:
            read_object(decode(data, media_type), schema, kind="Pod", version="v1", field_validation=level)
        except ApiError:
            continue


def protobuf_body(data: bytes) -> None:
    """A protobuf body, with and without its envelope."""
    for kind in (b"\x03Pod", b"\x18CustomResourceDefinition"):
        envelope = b"\x0a" + bytes([len(kind) + 5]) + b"\x0a\x02v1\x12" + kind
        for raw in (
            data,
            b"k8s\x00" + data,
            b"k8s\x00" + envelope + b"\x12" + bytes([min(len(data), 127)]) + data,
        ):
            try:
                protobuf.decode(raw)
            except ApiError:
                continue


def patch(data: bytes) -> None:
    """Every kind of patch of a pod."""
    schema = scheme().schema("v1", "Pod")
    assert schema is not None
    try:
        value = decode(data).value
    except ApiError:
        return
    changes: list[Callable[[Any], Any]] = [lambda old: json_patch.apply(old, value)]
    if isinstance(value, dict):
        changes += [
            lambda old: merge.apply(old, value),
            lambda old: strategic.apply(old, value, schema),
            lambda old: applied.apply(old, conformed(value), schema, manager="m"),
        ]

    def conformed(obj: Any) -> Any:
        if isinstance(obj, dict):
            conform(obj, schema)
        return obj

    for change in changes:
        try:
            patched = Patch(Act(), change, conformed).apply(_pod())
        except ApiError:
            continue
        orjson.dumps(patched)


def managed_fields(data: bytes) -> None:
    """managedFields that a client sends with an update, and an apply after it."""
    schema = scheme().schema("v1", "Pod")
    assert schema is not None
    try:
        sent = decode(data).value
        new = _pod()
        new["metadata"]["managedFields"] = sent if isinstance(sent, list) else [sent]
        conform(new, schema)
        managed.track_update(new, _pod(), schema, "me", "")
        applied.apply(new, _pod(), schema, manager="other", force=True)
    except ApiError:
        return


def selectors(data: bytes) -> None:
    """Label and field selectors."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_label_selector, parse_field_selector):
        try:
            parse(text).matches({"a": "b"})
        except SelectorError:
            continue


def texts(data: bytes) -> None:
    """Quantities, continue tokens, times, Accept headers, content types."""
    text = data.decode("utf-8", "replace")
    try:
        quantity.canonical(text)
        quantity.milli(text)
    except quantity.QuantityError:
        pass
    for read in (paging.decode_continue, negotiation.accepted, negotiation.streamed, negotiation.body_type):
        try:
            read(text)
        except ApiError:
            continue
    try:
        meta.parse_time(text)
    except ValueError:
        pass


def request(data: bytes) -> None:
    """A method, path and query: never an error."""
    text = data.decode("latin-1")
    method, _, rest = text.partition(" ")
    path, _, query = rest.partition("?")
    for verb in (method, "GET", "DELETE"):
        requestinfo.parse(verb, path, {"fieldSelector": [query], "watch": [query], "labelSelector": [query]})
        requestinfo.parse(verb, f"/api/v1/{path}", {})


def rules(data: bytes) -> None:
    """A hostile object of some resource through everything that happens to it between decoding and storage."""
    random = Random(data)
    resource = writable()[random.randrange(len(writable()))]
    schema = scheme().schema_of(resource)
    strategy = registry.strategy_for(resource, schema)
    try:
        old, new = (_made(resource, strategy, hostile(schema, random)) for _ in range(2))
    except ApiError:
        return
    strategy.validate(new)
    strategy.warnings(new)
    if strategy.validate(old):
        return
    _through(resource, strategy, new, old)


def _made(resource: Resource, strategy: Any, obj: dict[str, Any]) -> dict[str, Any]:
    """As a creation makes it."""
    schema = scheme().schema_of(resource)
    obj.update(apiVersion=resource.api_version, kind=resource.kind)
    read = decode(orjson.dumps(obj))
    made, _ = read_object(read, schema, kind=resource.kind, version=resource.version)
    namespace = "default" if resource.namespaced else ""
    metadata = made["metadata"] = made.get("metadata") or {}
    metadata.update(name="x", namespace=namespace)
    objectmeta.place(made, resource, namespace)
    strategy.default(made)
    objectmeta.prepare_create(metadata)
    strategy.prepare_create(made)
    managed.track_update(made, None, schema, "m", "")
    return made


def _through(resource: Resource, strategy: Any, new: dict[str, Any], old: dict[str, Any]) -> None:
    """What happens to objects that were found valid."""
    strategy.fields(old)
    tables.render(resource, [old], "Object")
    objectmeta.prepare_update(new["metadata"], old["metadata"])
    strategy.prepare_update(new, old)
    strategy.validate_update(new, old)
    managed.track_update(new, old, scheme().schema_of(resource), "n", "")
    for other in scheme():
        if other.kind == resource.kind:
            conversion.convert(orjson.loads(orjson.dumps(old)), other)


TARGETS: dict[str, Callable[[bytes], None]] = {
    t.__name__: t for t in (body, protobuf_body, patch, managed_fields, selectors, texts, request, rules)
}
