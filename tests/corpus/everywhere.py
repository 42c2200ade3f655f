"""Requests that make sense for every resource: names, versions, preconditions, patches, selectors, field validation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson

from tests.corpus.transport import Call

Obj = dict[str, Any]
_DRY = {"dryRun": "All"}
_UNKNOWN_UID = "00000000-0000-4000-8000-000000000000"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_APPLY = "application/apply-patch+yaml"
_PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def _with(obj: Obj, **metadata: Any) -> Obj:
    changed = copy.deepcopy(obj)
    changed["metadata"] |= metadata
    return changed


def before_storing(path: str, obj: Obj) -> Iterator[tuple[str, Call]]:
    """Requests while the object does not exist yet."""

    def post(body: Any, **query: str) -> Call:
        return Call("POST", path, body, query={**_DRY, **query})

    name = obj["metadata"]["name"]
    bare = {k: v for k, v in obj.items() if k != "metadata"}
    yield "create with a bad name", post(_with(obj, name="Not_valid name"))
    yield "create with a slash in the name", post(_with(obj, name="a/b"))
    yield "create with a long name", post(_with(obj, name="a" * 254))
    yield "create with a name of 64", post(_with(obj, name="a" * 64))
    yield "create with a dot in the name", post(_with(obj, name="1.a"))
    yield "create with a colon in the name", post(_with(obj, name="a:b"))
    yield "create without a name", post({**bare, "metadata": {}})
    yield "create with a generated name", post({**bare, "metadata": {"generateName": "generated-"}})
    yield "create with a bad generateName", post({**bare, "metadata": {"generateName": "Not_valid name"}})
    yield "create with bad labels", post(_with(obj, labels={"a b": "x", "c": "not valid"}))
    yield "create with bad annotations", post(_with(obj, annotations={"a b": "x"}))
    yield "create with a bad finalizer", post(_with(obj, finalizers=["unqualified", "a b"]))
    yield (
        "create with a bad owner",
        post(_with(obj, ownerReferences=[{"apiVersion": "", "kind": "", "name": "", "uid": ""}])),
    )
    yield "create with a resourceVersion", post(_with(obj, resourceVersion="1"))
    yield (
        "create with a uid",
        post(
            _with(
                obj, uid=_UNKNOWN_UID, generation=7, selfLink="/x", creationTimestamp="2001-01-01T00:00:00Z"
            )
        ),
    )
    yield "create in another namespace", post(_with(obj, namespace="elsewhere"))
    yield "create as another kind", post({**obj, "kind": "Other"})
    yield "create as another version", post({**obj, "apiVersion": "other.example.test/v1"})
    yield "create without type", post({k: v for k, v in obj.items() if k not in ("apiVersion", "kind")})
    yield "create with an unknown field", post({**obj, "unknown": 1})
    yield "create with an unknown field, strict", post({**obj, "unknown": 1}, fieldValidation="Strict")
    yield "create with an unknown field, ignored", post({**obj, "unknown": 1}, fieldValidation="Ignore")
    yield "create with an unknown label field, strict", post(_with(obj, unknown=1), fieldValidation="Strict")
    twice = orjson.dumps(obj).decode()[:-1] + ',"kind":"' + obj["kind"] + '"}'
    yield "create with a field twice", post(twice)
    yield "create with a field twice, strict", post(twice, fieldValidation="Strict")
    yield "create with bad fieldValidation", post(obj, fieldValidation="Other")
    yield "create with bad dryRun", Call("POST", path, obj, query={"dryRun": "Some"})
    yield "create with a bad fieldManager", post(obj, fieldManager="a" * 129)
    yield "create nothing", post({})
    yield "create a list", post([])
    yield "create what is not JSON", post("{not json")
    yield "create with bad content", Call("POST", path, obj, query=_DRY, content_type="text/plain")
    yield "get what is not there", Call("GET", f"{path}/{name}")
    yield "delete what is not there", Call("DELETE", f"{path}/{name}")
    yield "update what is not there", Call("PUT", f"{path}/{name}", obj, query=_DRY)
    yield (
        "update what is not there, with a version",
        Call("PUT", f"{path}/{name}", _with(obj, resourceVersion="1"), query=_DRY),
    )
    yield "patch what is not there", Call("PATCH", f"{path}/{name}", {}, query=_DRY, content_type=_MERGE)
    yield (
        "apply",
        Call("PATCH", f"{path}/{name}", obj, query={**_DRY, "fieldManager": "m"}, content_type=_APPLY),
    )
    yield "apply without a manager", Call("PATCH", f"{path}/{name}", obj, query=_DRY, content_type=_APPLY)
    yield "list with a bad label selector", Call("GET", path, query={"labelSelector": "a b c"})
    yield "list with a bad field selector", Call("GET", path, query={"fieldSelector": "spec.unknown=1"})
    yield "list with a bad limit", Call("GET", path, query={"limit": "x"})
    yield "list with a bad continue", Call("GET", path, query={"continue": "x"})
    yield "list with a bad version match", Call("GET", path, query={"resourceVersionMatch": "Exact"})


def after_storing(path: str, obj: Obj, stored: Obj) -> Iterator[tuple[str, Call]]:
    """Requests while the object is stored; none changes it."""
    name = stored["metadata"]["name"]
    there = f"{path}/{name}"

    def put(body: Any, **query: str) -> Call:
        return Call("PUT", there, body, query={**_DRY, **query})

    def patch(body: Any, kind: str = _MERGE, **query: str) -> Call:
        return Call("PATCH", there, body, query={**_DRY, **query}, content_type=kind)

    def delete(**options: Any) -> Call:
        return Call("DELETE", there, {"dryRun": ["All"], **options})

    version = stored["metadata"]["resourceVersion"]
    yield "get", Call("GET", there)
    yield "get metadata", Call("GET", there, accept=_PARTIAL)
    yield "list by name", Call("GET", path, query={"fieldSelector": f"metadata.name={name}"})
    yield "create again", Call("POST", path, obj)
    yield "update without a version", put(obj)
    yield "update with an old version", put(_with(obj, resourceVersion="1"))
    yield "update with a bad version", put(_with(obj, resourceVersion="x"))
    yield "update with another uid", put(_with(obj, resourceVersion=version, uid=_UNKNOWN_UID))
    yield "update with another name", put(_with(obj, name="other", resourceVersion=version))
    yield "update without a name", put({**obj, "metadata": {"resourceVersion": version}})
    yield "update with another namespace", put(_with(obj, namespace="elsewhere", resourceVersion=version))
    yield "update as another kind", put({**_with(obj, resourceVersion=version), "kind": "Other"})
    yield (
        "update of metadata",
        put(
            _with(
                obj,
                resourceVersion=version,
                labels={"a": "b"},
                annotations={"c": "d"},
                finalizers=["example.test/x"],
            )
        ),
    )
    yield "update with bad labels", put(_with(obj, resourceVersion=version, labels={"a b": "not valid"}))
    yield (
        "update of server's metadata",
        put(
            _with(
                obj,
                generation=9,
                creationTimestamp="2001-01-01T00:00:00Z",
                deletionTimestamp="2001-01-01T00:00:00Z",
            )
        ),
    )
    yield (
        "update with an unknown field, strict",
        put({**_with(obj, resourceVersion=version), "unknown": 1}, fieldValidation="Strict"),
    )
    yield "patch nothing", patch({})
    yield "patch labels", patch({"metadata": {"labels": {"a": "b"}}})
    yield "patch labels strategically", patch({"metadata": {"labels": {"a": "b"}}}, _STRATEGIC)
    yield (
        "patch owners strategically",
        patch(
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"}]}},
            _STRATEGIC,
        ),
    )
    yield "patch with a directive", patch({"metadata": {"$patch": "delete"}}, _STRATEGIC)
    yield "patch with a bad directive", patch({"metadata": {"$patch": "other"}}, _STRATEGIC)
    yield "patch the name", patch({"metadata": {"name": "other"}})
    yield "patch the uid", patch({"metadata": {"uid": _UNKNOWN_UID}})
    yield "patch with an old version", patch({"metadata": {"resourceVersion": "1"}})
    yield "patch with an unknown field", patch({"unknown": 1})
    yield "patch with an unknown field, strict", patch({"unknown": 1}, fieldValidation="Strict")
    yield "patch with a list", patch([1])
    yield "patch with bad JSON", patch("{not json")
    yield "patch with bad content", patch({}, "text/plain")
    yield "patch a wrong type", patch({"metadata": {"labels": 7}})
    yield (
        "JSON patch adds",
        patch([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}], _JSON_PATCH),
    )
    yield "JSON patch tests", patch([{"op": "test", "path": "/metadata/name", "value": "other"}], _JSON_PATCH)
    yield "JSON patch removes nothing", patch([{"op": "remove", "path": "/metadata/absent"}], _JSON_PATCH)
    yield "JSON patch of a bad operation", patch([{"op": "other", "path": "/metadata/name"}], _JSON_PATCH)
    yield "JSON patch that is none", patch({"op": "add"}, _JSON_PATCH)
    yield (
        "apply over it",
        patch(
            {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "metadata": {"name": name, "labels": {"a": "b"}},
            },
            _APPLY,
            fieldManager="m",
        ),
    )
    yield "apply conflicts", patch(obj, _APPLY, fieldManager="m")
    yield "apply managed fields", patch(_with(obj, managedFields=[]), _APPLY, fieldManager="m")
    yield "delete with another uid", delete(preconditions={"uid": _UNKNOWN_UID})
    yield "delete with another version", delete(preconditions={"resourceVersion": "1"})
    yield "delete with bad propagation", delete(propagationPolicy="Other")
    yield "delete with both propagations", delete(propagationPolicy="Orphan", orphanDependents=True)
    yield "delete with bad options", delete(gracePeriodSeconds="x")
    yield "delete with a negative grace", delete(gracePeriodSeconds=-1)
    yield "delete with bad dryRun", Call("DELETE", there, {"dryRun": ["Some"]})
    yield "delete, dry", Call("DELETE", there, query=_DRY)
    yield "delete in the foreground, dry", delete(propagationPolicy="Foreground")
    yield "delete as orphan, dry", delete(propagationPolicy="Orphan")
    yield "delete all, dry", Call("DELETE", path, query={**_DRY, "fieldSelector": f"metadata.name={name}"})
    yield "post to the object", Call("POST", there, obj)
    yield "put to the list", Call("PUT", path, obj)
    yield "unknown subresource", Call("GET", f"{there}/unknown")
    yield "get status", Call("GET", f"{there}/status")
    yield (
        "patch status labels",
        Call(
            "PATCH",
            f"{there}/status",
            {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["example.test/x"]}},
            query=_DRY,
            content_type=_MERGE,
        ),
    )
    yield "get scale", Call("GET", f"{there}/scale")
    yield (
        "patch scale",
        Call("PATCH", f"{there}/scale", {"spec": {"replicas": 5}}, query=_DRY, content_type=_MERGE),
    )
    yield (
        "patch scale below zero",
        Call("PATCH", f"{there}/scale", {"spec": {"replicas": -1}}, query=_DRY, content_type=_MERGE),
    )
