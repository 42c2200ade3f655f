"""The patch types, on documents small enough to read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kdist.api.errors import BadRequest, Conflict, InternalError, Invalid, RequestEntityTooLarge
from kdist.api.patch import apply, fieldset, managed, merge, strategic
from kdist.api.patch import json as json_patch
from kdist.api.schema import Schema
from kdist.api.scheme import Scheme

Obj = dict[str, Any]


def test_json_patch_runs_its_operations_in_order() -> None:
    patch = [
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "move", "from": "/a/0", "path": "/b~1c"},
        {"op": "copy", "from": "/a", "path": "/d"},
        {"op": "remove", "path": "/d/0"},
    ]
    document = {"a": [1, 2]}
    assert json_patch.apply(document, patch) == {"a": [2, 3], "b/c": 1, "d": [3]}
    assert document == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ({"op": "remove", "path": "/x"}, Invalid),
        ({"op": "replace", "path": "/a/9", "value": 1}, Invalid),
        ({"op": "test", "path": "/a", "value": 1}, Invalid),
        ({"op": "add", "path": "a"}, Invalid),
        ({"op": "add"}, Invalid),
        ({"op": "move", "path": "/a"}, Invalid),
        ({"op": "nope", "path": "/a"}, Invalid),
        ({"op": "remove", "path": "/a/\N{SUPERSCRIPT TWO}"}, Invalid),
        ("nope", BadRequest),
    ],
)
def test_json_patch_refuses_what_does_not_fit(operation: Obj, error: type[Exception]) -> None:
    with pytest.raises(error):
        json_patch.apply({"a": [1]}, [operation])


def test_json_patch_replaces_what_is_missing_as_upstream_does() -> None:
    assert json_patch.apply({}, [{"op": "replace", "path": "/a", "value": 1}]) == {"a": 1}


def test_json_patch_refuses_too_many_operations() -> None:
    test = {"op": "test", "path": "/a", "value": 1}
    with pytest.raises(RequestEntityTooLarge, match="10000"):
        json_patch.apply({"a": 1}, [test] * 10_001)


def test_json_patch_that_doubles_a_document_again_and_again_is_refused() -> None:
    double = [{"op": "copy", "from": "", "path": f"/{n}"} for n in range(40)]
    with pytest.raises(Invalid, match="accumulated size"):
        json_patch.apply({"a": "x" * 100}, double)


def test_json_patch_that_shifts_a_long_list_again_and_again_is_refused() -> None:
    with pytest.raises(Invalid, match="list items"):
        json_patch.apply([0] * 100_000, [{"op": "add", "path": "/0", "value": 0}] * 10_000)


def test_json_patch_that_nests_without_end_is_refused() -> None:
    nest = [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(1, 600)]
    with pytest.raises(Invalid, match="too deeply"):
        json_patch.apply({}, nest)


def test_merge_patch_deletes_by_null_and_replaces_lists() -> None:
    patched = merge.apply({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": None}, "l": [2]})
    assert patched == {"a": {"c": 2}, "l": [2]}


@pytest.fixture
def pod() -> Obj:
    return {
        "spec": {
            "containers": [
                {"name": "a", "image": "x", "ports": [{"containerPort": 1}]},
                {"name": "b", "image": "y"},
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "k"}],
        }
    }


def _names(pod: Obj) -> str:
    return "".join(c["name"] for c in pod["spec"]["containers"])


def test_strategic_patch_merges_lists_by_their_keys(scheme: Scheme, pod: Obj) -> None:
    change = {"spec": {"containers": [{"name": "a", "image": "z", "ports": [{"containerPort": 2}]}]}}
    patched = strategic.apply(pod, change, scheme.schema("v1", "Pod"))
    first = patched["spec"]["containers"][0]
    assert (first["image"], [p["containerPort"] for p in first["ports"]]) == ("z", [2, 1])
    assert _names(patched) == "ab"


def test_a_list_that_is_replaced_as_a_whole_may_hold_one_key_twice(scheme: Scheme) -> None:
    schema = scheme.schema("v1", "Node")
    assert schema
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "fd00::1"}]
    old = {"status": {"addresses": [{"type": "Hostname", "address": "w1"}, addresses[0]]}}
    patch = {"status": {"addresses": [*addresses, {"$patch": "replace"}]}}
    assert strategic.apply(old, patch, schema) == {"status": {"addresses": addresses}}


def test_strategic_patch_replaces_lists_without_keys(scheme: Scheme, pod: Obj) -> None:
    patched = strategic.apply(pod, {"spec": {"tolerations": [{"key": "q"}]}}, scheme.schema("v1", "Pod"))
    assert patched["spec"]["tolerations"] == [{"key": "q"}]


def test_strategic_directives_delete_order_and_retain(scheme: Scheme, pod: Obj) -> None:
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "q"}, {"name": "b", "$patch": "delete"}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}],
        }
    }
    patched = strategic.apply(pod, change, scheme.schema("v1", "Pod"))
    assert _names(patched) == "ca"
    assert patched["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}]


def test_a_strategic_patch_that_contradicts_its_own_order_is_refused(scheme: Scheme, pod: Obj) -> None:
    schema = scheme.schema("v1", "Pod")
    for order in ([{"name": "x"}], [{"name": "a"}, {"name": "c"}]):
        items = [{"name": "c", "image": "q"}, {"name": "a", "image": "q"}]
        change = {"spec": {"$setElementOrder/containers": order, "containers": items}}
        with pytest.raises(BadRequest, match="not in the order"):
            strategic.apply(pod, change, schema)


def test_strategic_patch_keeps_sets_of_scalars(scheme: Scheme) -> None:
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    patched = strategic.apply({"metadata": {"finalizers": ["a", "b"]}}, change, scheme.schema("v1", "Pod"))
    assert sorted(patched["metadata"]["finalizers"]) == ["b", "c"]


def test_strategic_patch_needs_the_merge_key(scheme: Scheme, pod: Obj) -> None:
    with pytest.raises(BadRequest, match="merge key: name"):
        strategic.apply(pod, {"spec": {"containers": [{"image": "z"}]}}, scheme.schema("v1", "Pod"))


# ----- server-side apply


def _deployment(image: str, replicas: int | None = None, **labels: str) -> Obj:
    spec: Obj = {"template": {"spec": {"containers": [{"name": "x", "image": image}]}}}
    if replicas is not None:
        spec["replicas"] = replicas
    metadata: Obj = {"name": "d", **({"labels": labels} if labels else {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _owners(obj: Obj) -> dict[str, set[str]]:
    found = managed.read(obj["metadata"])
    return {m.name: {path[-1] for path in entry.paths} for m, entry in found.items()}


def test_applying_what_is_there_already_shares_it(scheme: Scheme) -> None:
    schema = scheme.schema("apps/v1", "Deployment")
    live = apply.apply({}, _deployment("x", 2), schema, manager="one")
    both = apply.apply(live, _deployment("x"), schema, manager="two")
    assert "f:replicas" not in _owners(both)["two"]
    assert "f:image" in _owners(both)["one"] & _owners(both)["two"]


def test_taking_anothers_field_is_a_conflict_that_names_it(scheme: Scheme) -> None:
    schema = scheme.schema("apps/v1", "Deployment")
    live = apply.apply({}, _deployment("x"), schema, manager="one")
    with pytest.raises(Conflict) as refused:
        apply.apply(live, _deployment("y"), schema, manager="two")
    field = '.spec.template.spec.containers[name="x"].image'
    assert refused.value.message == f'Apply failed with 1 conflict: conflict with "one": {field}'
    assert [c.reason for c in refused.value.causes] == ["FieldManagerConflict"]
    forced = apply.apply(live, _deployment("y"), schema, manager="two", force=True)
    assert "f:image" not in _owners(forced)["one"]


def test_what_is_no_longer_applied_goes_unless_another_owns_it(scheme: Scheme) -> None:
    schema = scheme.schema("apps/v1", "Deployment")
    live = apply.apply({}, _deployment("x", 2, a="1", b="2"), schema, manager="one")
    live = apply.apply(live, _deployment("x", None, b="2"), schema, manager="two")
    after = apply.apply(live, _deployment("x"), schema, manager="one")
    assert after["metadata"]["labels"] == {"b": "2"}
    assert "replicas" not in after["spec"]


def test_an_update_takes_over_the_fields_it_changes(scheme: Scheme) -> None:
    schema = scheme.schema("apps/v1", "Deployment")
    live = apply.apply({}, _deployment("x", 2), schema, manager="one")
    changed = {**live, "metadata": dict(live["metadata"]), "spec": {**live["spec"], "replicas": 3}}
    managed.track_update(changed, live, schema, "scaler", "scale")
    assert _owners(changed)["scaler"] == {"f:replicas"}
    assert "f:replicas" not in _owners(changed)["one"]


def test_a_write_that_changes_nothing_leaves_the_managers_alone(scheme: Scheme) -> None:
    schema = scheme.schema("apps/v1", "Deployment")
    live = apply.apply({}, _deployment("x"), schema, manager="one", now="2026-01-01T00:00:00Z")
    again = apply.apply(live, _deployment("x"), schema, manager="one", now="2026-01-02T00:00:00Z")
    assert again == live


@pytest.mark.parametrize(
    ("api_version", "kind", "obj"),
    [
        (
            "v1",
            "Pod",
            {
                "metadata": {
                    "labels": {"b": "1", "a": ""},
                    "finalizers": ["x/y", "a/b"],
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
                },
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "command": ["a", "b"],
                            "env": [{"name": "E", "value": "1"}, {"name": "E", "valueFrom": {}}],
                            "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
                            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                            "securityContext": {},
                        },
                        {"name": "app"},
                    ],
                    "nodeSelector": {"disk": "ssd"},
                    "tolerations": [{"key": "k", "operator": "Exists"}],
                    "unknown": {"deep": [1]},
                },
            },
        ),
        ("v1", "ConfigMap", {"metadata": {}, "data": {"b": "", "a": "1"}, "immutable": False}),
        ("v1", "Service", {"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "clusterIPs": ["10.0.0.1"]}}),
    ],
)
def test_a_creator_owns_what_a_comparison_with_an_empty_object_finds(
    scheme: Scheme, api_version: str, kind: str, obj: Obj
) -> None:
    schema = scheme.schema(api_version, kind)
    assert schema is not None
    compared = fieldset.encode(fieldset.compare({"metadata": {}, **_empty(schema)}, obj, schema).written)
    assert orjson.dumps(fieldset.tree(obj, schema)) == orjson.dumps(compared)


def _empty(schema: Schema) -> Obj:
    """An object of the type as it is when nothing is set."""
    fields = {
        name: schema.properties[name] for name in {*schema.emits, *schema.keeps} & schema.properties.keys()
    }
    written = {n: _empty(c) for n, c in fields.items() if c.kind == "object" and n in schema.emits}
    return {**written, **{n: [] for n, c in fields.items() if c.kind == "array"}}


@pytest.mark.parametrize(
    "entry",
    [
        {"operation": "Sometimes"},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"f:x": 3}},
        {"fieldsV1": {"k:{bad": {}}},
        {"fieldsV1": {"k:3": {}}},
        {"fieldsV1": {"i:x": {}}},
        {"fieldsV1": {"zz": {}}},
        {"fieldsV1": "f:x"},
    ],
)
def test_managed_fields_that_cannot_be_read_leave_the_stored_ones(entry: Obj) -> None:
    schema = Scheme.load("1.32").schema("v1", "ConfigMap")
    assert schema is not None
    old: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}
    managed.track_update(old, None, schema, "me", "", "then")
    whole = {
        "manager": "a",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }
    new = {**old, "metadata": {**old["metadata"], "managedFields": [{**whole, **entry}]}}
    managed.track_update(new, old, schema, "me", "", "now")
    assert new["metadata"]["managedFields"] == old["metadata"]["managedFields"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            {"metadata": {"finalizers": ["a/b", "a/b"]}},
            r'\.metadata\.finalizers: duplicate entries for key \[="a/b"\]',
        ),
        (
            {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
            r'\.spec\.containers: duplicate entries for key \[name="a"\]',
        ),
    ],
)
def test_apply_refuses_items_of_one_key(wanted: Obj, told: str, pod: Obj) -> None:
    schema = Scheme.load("1.32").schema("v1", "Pod")
    assert schema is not None
    for live in ({}, pod):
        with pytest.raises(InternalError, match=told):
            apply.apply(live, wanted, schema, manager="m")
