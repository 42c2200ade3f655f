"""MutatingAdmissionPolicies change what is written as upstream's server (1.32.13, compared) changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.apiserver.serving.conftest import Api, served

JSON = {"content-type": "application/json"}
GROUP = "/apis/admissionregistration.k8s.io/v1alpha1"
MAPS = "/api/v1/namespaces/default/configmaps"
APPLY, PATCH = "ApplyConfiguration", "JSONPatch"
_FIELD = {APPLY: "applyConfiguration", PATCH: "jsonPatch"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served(
        feature_gates=("MutatingAdmissionPolicy=true",),
        runtime_config=("admissionregistration.k8s.io/v1alpha1=true",),
    ) as api:
        await api.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield api


def policy(name: str, *mutations: tuple[str, str], **spec: Any) -> dict[str, Any]:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [rule]},
            "mutations": [{"patchType": t, _FIELD[t]: {"expression": e}} for t, e in mutations],
            **spec,
        },
    }


async def bound(api: Api, made: dict[str, Any], **spec: Any) -> None:
    name = made["metadata"]["name"]
    await api.make(f"{GROUP}/mutatingadmissionpolicies", made)
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, **spec}}
    await api.make(f"{GROUP}/mutatingadmissionpolicybindings", binding)
    await api.server.core.hub.fresh()  # until the plug-in has heard of both


def config(name: str = "a", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, **({"data": data} if data else {})}


@pytest.mark.parametrize(
    ("mutations", "labels", "data"),
    [
        ([(APPLY, 'Object{metadata: Object.metadata{labels: {"a": "b"}}}')], {"a": "b"}, {"k": "v"}),
        ([(APPLY, 'Object{data: {"x": object.metadata.name}}')], None, {"k": "v", "x": "a"}),
        ([(PATCH, '[JSONPatch{op: "add", path: "/data/y", value: "1"}]')], None, {"k": "v", "y": "1"}),
        (
            [
                (
                    PATCH,
                    '[JSONPatch{op: "add", path: "/metadata/labels", value: {}}, JSONPatch{op: "add", path: '
                    '"/metadata/labels/" + jsonpatch.escapeKey("example.com/x"), value: "y"}]',
                )
            ],
            {"example.com/x": "y"},
            {"k": "v"},
        ),
        (
            [
                (APPLY, 'Object{data: {"x": "1"}}'),
                (PATCH, '[JSONPatch{op: "add", path: "/data/y", value: object.data.x + "2"}]'),
            ],
            None,
            {"k": "v", "x": "1", "y": "12"},
        ),
        (
            [
                (
                    PATCH,
                    '[JSONPatch{op: "test", path: "/data/k", value: "other"}, '
                    'JSONPatch{op: "remove", path: "/data/k"}]',
                )
            ],
            None,
            {"k": "v"},
        ),
        (
            [(PATCH, 'has(object.data.none) ? [JSONPatch{op: "remove", path: "/data"}] : []')],
            None,
            {"k": "v"},
        ),
    ],
)
async def test_objects_are_changed(
    api: Api, mutations: list[tuple[str, str]], labels: dict[str, str] | None, data: dict[str, str]
) -> None:
    await bound(api, policy("p", *mutations))
    made = await api.make(MAPS, config(k="v"))
    assert made["metadata"].get("labels") == labels and made["data"] == data


@pytest.mark.parametrize(
    ("mutation", "told"),
    [
        ((PATCH, '[JSONPatch{op: "remove", path: "/nothing/here"}]'), "JSON Patch: "),
        (
            (PATCH, '[JSONPatch{op: "test", path: "/none/none", value: "x"}]'),
            "JSON Patch: test operation does not apply: is missing path: /none/none: missing value",
        ),
        (
            (APPLY, 'Object{metadata: Object.wrong{labels: {"a": "b"}}}'),
            'type mismatch: unexpected type name "Object.wrong", expected "Object.metadata", which matches field '
            "name path from root Object type",
        ),
        (
            (APPLY, "Object{spec: Object.spec{foo: 1}}"),
            "error applying patch: failed to convert patch object to typed object: .spec: field not declared in schema",
        ),
        (
            (APPLY, 'Object{immutable: "no"}'),
            "error applying patch: failed to convert patch object to typed object: .immutable: expected boolean, got "
            "&{no}",
        ),
        (
            (APPLY, 'Object{data: {"x": object.nothing}}'),
            "expression 'Object{data: {\"x\": object.nothing}}' resulted in error: no such key: nothing",
        ),
    ],
)
async def test_a_failing_policy_refuses_unless_failures_are_ignored(
    api: Api, mutation: tuple[str, str], told: str
) -> None:
    await bound(api, policy("p", mutation))
    answer = await api("POST", MAPS, config(k="v"), JSON)
    assert answer.json["reason"] == "Invalid"
    assert answer.json["message"].startswith(f"policy 'p' with binding 'p' denied request: {told}")
    await api("DELETE", f"{GROUP}/mutatingadmissionpolicies/p")
    await api.make(f"{GROUP}/mutatingadmissionpolicies", policy("p", mutation, failurePolicy="Ignore"))
    await api.server.core.hub.fresh()
    assert (await api.make(MAPS, config(k="v")))["data"] == {"k": "v"}


async def test_atomic_lists_are_not_for_apply_configurations(api: Api) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    expression = (
        "Object{spec: Object.spec{containers: object.spec.containers.map(c, "
        'Object.spec.containers{name: c.name, args: ["x"]})}}'
    )
    made = policy("p", (APPLY, expression), matchConstraints={"resourceRules": [rule]})
    await bound(api, made)
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    answer = await api("POST", "/api/v1/namespaces/default/pods", pod, JSON)
    assert "may not mutate atomic arrays, maps or structs: .spec.containers[0].args" in answer.json["message"]


async def test_conditions_variables_and_parameters(api: Api) -> None:
    await api.make(MAPS, config("settings", team="blue"))
    made = policy(
        "p",
        (APPLY, "Object{metadata: Object.metadata{labels: {'team': variables.team}}}"),
        matchConditions=[{"name": "mine", "expression": "object.metadata.name.startsWith('x')"}],
        variables=[{"name": "team", "expression": "params.data.team"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    await bound(api, made, paramRef={"name": "settings", "namespace": "default"})
    assert (await api.make(MAPS, config("x")))["metadata"]["labels"] == {"team": "blue"}
    assert "labels" not in (await api.make(MAPS, config("y")))["metadata"]


async def test_missing_parameters_refuse_by_default(api: Api) -> None:
    made = policy(
        "p", (APPLY, "Object{data: {'a': 'b'}}"), paramKind={"apiVersion": "v1", "kind": "ConfigMap"}
    )
    await bound(api, made, paramRef={"name": "none", "namespace": "default"})
    answer = await api("POST", MAPS, config("x"), JSON)
    assert "no params found for policy binding" in answer.json["message"]


async def test_a_policy_sees_what_later_ones_did_if_it_wants(api: Api) -> None:
    counting = "Object{data: {'seen': string(has(object.data.late))}}"
    late = "Object{data: {'late': 'yes'}}"
    await bound(api, policy("a", (APPLY, counting), reinvocationPolicy="IfNeeded"))
    await bound(api, policy("b", (APPLY, late)))
    assert (await api.make(MAPS, config(k="v")))["data"] == {"k": "v", "late": "yes", "seen": "true"}


async def test_updates_are_changed_too_and_a_dry_run_stores_nothing(api: Api) -> None:
    await api.make(MAPS, config(k="v"))
    await bound(api, policy("p", (APPLY, "Object{data: {'x': string(has(oldObject.data.k))}}")))
    answer = await api("PUT", f"{MAPS}/a?dryRun=All", config(k="w"), JSON)
    assert answer.json["data"] == {"k": "w", "x": "true"}
    assert (await api("GET", f"{MAPS}/a")).json["data"] == {"k": "v"}


@pytest.mark.parametrize(
    ("mutation", "told"),
    [
        ((APPLY, '"x"'), "must evaluate to Object but got string"),
        ((PATCH, "[1]"), "must evaluate to list(JSONPatch) but got list(int)"),
        ((APPLY, "Object{data: foo}"), "undeclared reference to 'foo'"),
        ((PATCH, "[JSONPatch{op: 1}]"), "expected type of field 'op' is 'string' but provided type is 'int'"),
        ((APPLY, " "), "spec.mutations[0].applyConfiguration.expression: Required value"),
    ],
)
async def test_expressions_are_checked(api: Api, mutation: tuple[str, str], told: str) -> None:
    answer = await api("POST", f"{GROUP}/mutatingadmissionpolicies", policy("p", mutation), JSON)
    assert answer.status == 422 and told in answer.json["message"]


async def test_only_creations_and_updates_can_be_changed(api: Api) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]}
    made = policy("p", (APPLY, "Object{}"), matchConstraints={"resourceRules": [rule]})
    answer = await api("POST", f"{GROUP}/mutatingadmissionpolicies", made, JSON)
    assert 'Unsupported value: "DELETE": supported values: "CREATE", "UPDATE"' in answer.json["message"]
