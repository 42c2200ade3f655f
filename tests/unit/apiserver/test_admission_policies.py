"""ValidatingAdmissionPolicies: which requests they concern, what they decide, what may be written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kdist.api.errors import ApiError
from kdist.api.kinds import NAMESPACES, Kind
from kdist.api.scheme import Scheme
from kdist.apiserver import metrics
from kdist.apiserver.admission import Request
from kdist.apiserver.admission.policies import ValidatingPolicies, matching, typechecking
from kdist.apiserver.admission.policies.configured import BINDINGS, POLICIES
from kdist.apiserver.authn.user import MASTERS, User
from kdist.apiserver.authz import Authorizer
from kdist.apiserver.registry import strategy_for

Obj = dict[str, Any]
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
ADMIN = User("admin", groups=(MASTERS,))
JANE = User("jane")
CONFIGMAP_RULE: Obj = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["configmaps"],
    "scope": "*",
}


class Cache:
    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str, str], Obj] = {}
        self.listeners: dict[Kind, list[Any]] = {}

    def put(self, kind: Kind, obj: Obj) -> None:
        metadata = obj["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        self.objects[kind, *key] = obj
        for callback in self.listeners.get(kind, ()):
            callback(*key, obj)

    def get(self, kind: Kind, namespace: str | None, name: str) -> Obj | None:
        return self.objects.get((kind, namespace or "", name))

    def list(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        return [o for (k, ns, _), o in self.objects.items() if k == kind and namespace in (None, "", ns)]

    def on_change(self, kind: Kind, callback: Any) -> None:
        self.listeners.setdefault(kind, []).append(callback)

    async def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        return self.get(kind, namespace, name)

    async def find_all(self, kind: Kind, namespace: str) -> list[Obj]:
        return self.list(kind, namespace)


def rule(**changes: Any) -> Obj:
    return {**CONFIGMAP_RULE, **changes}


def policy(*validations: Obj, rules: list[Obj] | None = None, **spec: Any) -> Obj:
    made = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p", "generation": 1},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules or [rule()], "matchPolicy": "Equivalent"},
            "validations": list(validations),
            **spec,
        },
    }
    return {key: value for key, value in made.items() if value is not None}


def binding(*actions: str, name: str = "b", **spec: Any) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"policyName": "p", "validationActions": list(actions) or ["Deny"], **spec},
    }


def configmap(name: str = "c", labels: dict[str, str] | None = None, **data: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", "labels": labels or {}},
        "data": data,
    }


class World:
    """The plug-in with its surroundings, and what a request came to."""

    def __init__(self, scheme: Scheme) -> None:
        self.cache = Cache()
        self.cache.put(NAMESPACES, {"metadata": {"name": "team", "labels": {"stage": "prod"}}})
        self.plugin = ValidatingPolicies(
            self.cache,  # type: ignore[arg-type]
            self.cache,  # type: ignore[arg-type]
            scheme,
            Authorizer(self.cache),  # type: ignore[arg-type]
            self.cache,
        )
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}

    def apply(self, made: Obj, *bindings: Obj) -> World:
        self.cache.put(POLICIES, made)
        for bound in bindings or (binding(),):
            self.cache.put(BINDINGS, bound)
        return self

    async def write(
        self, obj: Obj | None, *, kind: Kind = CONFIG_MAPS, old: Obj | None = None, user: User = JANE
    ) -> ApiError | None:
        subject = obj or old
        assert subject is not None
        request = Request(
            user=user,
            verb="create" if old is None else "update" if obj is not None else "delete",
            resource=kind,
            namespace=subject["metadata"].get("namespace", ""),
            name=subject["metadata"]["name"],
            obj=obj,
            old=old,
            warn=self.warnings.append,
            annotate=self.annotations.__setitem__,
        )
        try:
            await self.plugin.validate(request)
        except ApiError as error:
            return error
        return None


@pytest.fixture
def world(scheme: Scheme) -> World:
    return World(scheme)


async def test_refusal_tells_policy_binding_and_message(world: World) -> None:
    world.apply(
        policy({"expression": "object.data.size() < 2", "message": "too much", "reason": "Forbidden"})
    )
    refused = await world.write(configmap(a="1", b="2"))
    assert refused is not None
    assert (refused.code, refused.reason) == (403, "Forbidden")
    told = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: too much"
    assert refused.message == f'configmaps "c" is forbidden: {told}'
    assert [cause.message for cause in refused.causes] == [told]
    assert await world.write(configmap(a="1")) is None


async def test_reason_is_invalid_unless_given(world: World) -> None:
    refused = await world.apply(policy({"expression": "false"})).write(configmap())
    assert refused is not None and (refused.code, refused.reason) == (422, "Invalid")
    assert "failed expression: false" in refused.message


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("'no ' + object.metadata.name", "no c"),
        ("'two\\nlines'", "static"),
        ("'  '", "static"),
        ("object.missing + ''", "static"),
    ],
)
async def test_message_expression_or_else_the_message(world: World, expression: str, told: str) -> None:
    world.apply(
        policy({"expression": "false", "message": "static", "messageExpression": f"string({expression})"})
    )
    refused = await world.write(configmap())
    assert refused is not None and refused.message.endswith(f"denied request: {told}")


@pytest.mark.parametrize(
    ("failure_policy", "told"),
    [
        ("Fail", "expression 'object.missing == 1' resulted in error: no such key: missing"),
        ("Ignore", None),
    ],
)
async def test_failing_expression_is_the_failure_policys_matter(
    world: World, failure_policy: str, told: str | None
) -> None:
    refused = await world.apply(
        policy({"expression": "object.missing == 1"}, failurePolicy=failure_policy)
    ).write(configmap())
    assert (refused is None) is (told is None)
    assert refused is None or told is None or refused.message.endswith(told)


async def test_actions_warn_and_audit_do_not_refuse(world: World) -> None:
    world.apply(policy({"expression": "false", "message": "m"}), binding("Warn", "Audit"))
    assert await world.write(configmap()) is None
    assert world.warnings == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': m"]
    assert world.annotations["validation.policy.admission.k8s.io/validation_failure"] == (
        '[{"message":"m","policy":"p","binding":"b","expressionIndex":0,"validationActions":["Warn","Audit"]}]'
    )


async def test_audit_annotations_of_several_bindings_are_joined(world: World) -> None:
    made = policy(
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        auditAnnotations=[
            {"key": "p", "valueExpression": "string(params.data.x)"},
            {"key": "none", "valueExpression": "null"},
        ],
    )
    for name in ("one", "two"):
        world.cache.put(CONFIG_MAPS, configmap(name, x=name))
    refs = [binding(name=n, paramRef={"name": n, "parameterNotFoundAction": "Deny"}) for n in ("one", "two")]
    assert await world.apply(made, *refs).write(configmap()) is None
    assert world.annotations == {"p/p": "one, two"}


async def test_variables_are_evaluated_once_and_may_use_earlier_ones(world: World) -> None:
    made = policy(
        {"expression": "variables.big || variables.big || !variables.big", "message": "m"},
        {"expression": "!variables.big", "message": "big"},
        variables=[
            {"name": "size", "expression": "object.data.size()"},
            {"name": "big", "expression": "variables.size > 1"},
        ],
    )
    world.apply(made)
    assert await world.write(configmap(a="1")) is None
    refused = await world.write(configmap(a="1", b="2"))
    assert refused is not None and refused.message.endswith("big")


async def test_failing_variable_is_named(world: World) -> None:
    made = policy(
        {"expression": "variables.x == 1"}, variables=[{"name": "x", "expression": "object.missing"}]
    )
    refused = await world.apply(made).write(configmap())
    assert refused is not None
    assert refused.message.endswith(
        "expression 'variables.x == 1' resulted in error: composited variable \"x\" fails to evaluate: "
        "no such key: missing"
    )


async def test_match_conditions_come_first(world: World) -> None:
    made = policy(
        {"expression": "false"},
        matchConditions=[
            {"name": "a", "expression": "object.metadata.name != 'spared'"},
            {"name": "b", "expression": "request.userInfo.username == 'jane'"},
        ],
    )
    world.apply(made)
    assert await world.write(configmap("spared")) is None
    assert await world.write(configmap(), user=ADMIN) is None
    assert await world.write(configmap()) is not None


async def test_false_condition_decides_even_if_another_fails(world: World) -> None:
    failing = {"name": "a", "expression": "object.missing == 1"}
    false = {"name": "b", "expression": "false"}
    assert (
        await world.apply(policy({"expression": "false"}, matchConditions=[failing, false])).write(
            configmap()
        )
        is None
    )
    refused = await world.apply(policy({"expression": "true"}, matchConditions=[failing])).write(configmap())
    assert refused is not None and "no such key: missing" in refused.message


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ({"name": "limit", "parameterNotFoundAction": "Deny"}, "over 1"),
        ({"name": "absent", "parameterNotFoundAction": "Allow"}, None),
        (
            {"name": "absent", "parameterNotFoundAction": "Deny"},
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        ({"selector": {"matchLabels": {"kind": "limit"}}, "parameterNotFoundAction": "Deny"}, "over 1"),
        ({"name": "limit", "namespace": "other", "parameterNotFoundAction": "Allow"}, None),
    ],
)
async def test_parameters_by_name_and_by_selector(world: World, ref: Obj, told: str | None) -> None:
    world.cache.put(CONFIG_MAPS, configmap("limit", {"kind": "limit"}, most="1"))
    made = policy(
        {
            "expression": "object.data.size() <= int(params.data.most)",
            "messageExpression": "'over ' + string(params.data.most)",
        },
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    refused = await world.apply(made, binding(paramRef=ref)).write(configmap(a="1", b="2"))
    assert (refused.message.partition("denied request: ")[2] if refused else None) == told


async def test_unknown_kind_of_parameters_refuses(world: World) -> None:
    made = policy({"expression": "true"}, paramKind={"apiVersion": "rules.example.com/v1", "kind": "Limit"})
    refused = await world.apply(made).write(configmap())
    assert refused is not None
    assert refused.message.endswith(
        "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource "
        "referenced by paramKind: 'rules.example.com/v1, Kind=Limit'"
    )


async def test_expensive_expression_is_stopped_and_refuses(world: World) -> None:
    expression = (
        "[0,1,2,3,4,5,6,7,8,9].all(a, object.data.all(k, object.data.all(l, object.data.all(m, true))))"
    )
    world.apply(policy({"expression": expression}))
    refused = await world.write(configmap(**{f"k{at}": "v" for at in range(100)}))
    assert refused is not None and "operation cancelled: actual cost limit exceeded" in refused.message


async def test_other_work_goes_on_during_an_expensive_evaluation(world: World) -> None:
    """What is not cheap is evaluated in a thread: the loop, which serves everybody, turns meanwhile."""
    costly = {"expression": "object.data.all(k, object.data.all(l, object.data.all(m, k != 'x')))"}
    world.apply(policy(*[costly] * 5))
    review = asyncio.create_task(world.write(configmap(**{f"k{at}": "v" for at in range(100)})))
    turns = 0
    while not review.done():
        await asyncio.sleep(0)
        turns += 1
    refused = review.result()
    assert refused is not None and "actual cost limit exceeded" in refused.message
    assert turns > 100


async def test_all_expressions_share_a_budget(world: World) -> None:
    costly = {"expression": "object.data.all(k, object.data.all(l, object.data.all(m, true)))"}
    world.apply(policy(*[costly] * 30))
    refused = await world.write(configmap(**{f"k{at}": "v" for at in range(60)}))
    assert refused is not None and "running out of cost budget" in refused.message


async def test_authorizer_answers_for_the_user(world: World) -> None:
    check = "authorizer.group('').resource('pods').namespace('team').check('delete').allowed()"
    world.apply(policy({"expression": check, "message": "may not"}))
    assert await world.write(configmap(), user=ADMIN) is None
    assert await world.write(configmap(), user=JANE) is not None


async def test_namespace_and_old_object_are_known(world: World) -> None:
    made = policy(
        {"expression": "namespaceObject.metadata.labels.stage == 'prod'"},
        {"expression": "oldObject == null || object.data.x == oldObject.data.x", "message": "x changed"},
    )
    world.apply(made)
    assert await world.write(configmap(x="1")) is None
    assert await world.write(configmap(x="1"), old=configmap(x="1")) is None
    refused = await world.write(configmap(x="2"), old=configmap(x="1"))
    assert refused is not None and refused.message.endswith("x changed")


async def test_policies_never_judge_policies(world: World) -> None:
    everything = rule(apiGroups=["*"], apiVersions=["*"], operations=["*"], resources=["*"])
    world.apply(policy({"expression": "false"}, rules=[everything]))
    assert await world.write(policy({"expression": "true"}), kind=POLICIES) is None
    assert await world.write(configmap()) is not None


async def test_unbound_policy_costs_nothing(world: World) -> None:
    world.cache.put(POLICIES, policy({"expression": "false"}))
    assert await world.write(configmap()) is None


@pytest.mark.parametrize(
    ("resources", "concerned"),
    [
        ({"resourceRules": [rule()]}, True),
        ({"resourceRules": [rule(operations=["UPDATE"])]}, False),
        ({"resourceRules": [rule(resources=["secrets"])]}, False),
        ({"resourceRules": [rule(resourceNames=["c"])]}, True),
        ({"resourceRules": [rule(resourceNames=["other"])]}, False),
        ({"resourceRules": [rule(scope="Cluster")]}, False),
        ({"resourceRules": [rule(resources=["configmaps/status"])]}, False),
        ({"resourceRules": [rule()], "excludeResourceRules": [rule(resourceNames=["c"])]}, False),
        ({"excludeResourceRules": [rule(resourceNames=["other"])]}, True),
        ({"resourceRules": [rule(apiVersions=["v2"])], "matchPolicy": "Exact"}, False),
        ({"resourceRules": [rule()], "objectSelector": {"matchLabels": {"a": "b"}}}, True),
        ({"resourceRules": [rule()], "objectSelector": {"matchLabels": {"a": "c"}}}, False),
        ({"resourceRules": [rule()], "namespaceSelector": {"matchLabels": {"stage": "prod"}}}, True),
        ({"resourceRules": [rule()], "namespaceSelector": {"matchLabels": {"stage": "test"}}}, False),
    ],
)
async def test_constraints(world: World, resources: Obj, concerned: bool) -> None:
    made = policy({"expression": "false"}, matchConstraints=resources)
    refused = await world.apply(made).write(configmap(labels={"a": "b"}))
    assert (refused is not None) is concerned
    narrowed = binding(matchResources=resources)
    refused = await world.apply(policy({"expression": "false"}), narrowed).write(configmap(labels={"a": "b"}))
    assert (refused is not None) is concerned


def test_equivalent_version_is_matched_unless_exact() -> None:
    other = Kind("apps", "v1beta1", "deployments", "Deployment")
    request = Request(user=JANE, verb="create", resource=DEPLOYMENTS, obj={"metadata": {"name": "d"}})
    rules = [rule(apiGroups=["apps"], apiVersions=["v1beta1"], resources=["deployments"])]
    for match_policy, matched in (("Equivalent", other), ("Exact", None)):
        resources = matching.parse({"resourceRules": rules, "matchPolicy": match_policy})
        assert resources.matched_kind(request, [other]) == matched


def causes(scheme: Scheme, kind: Kind, obj: Obj) -> list[tuple[str, str]]:
    resource = scheme.by_path(kind.group, kind.version, kind.plural)
    assert resource is not None
    strategy = strategy_for(resource)
    strategy.default(obj)
    return [(cause.field, cause.message) for cause in strategy.check(obj)]


@pytest.mark.parametrize(
    ("made", "field", "told"),
    [
        (policy({"expression": "1"}), "spec.validations[0].expression", "must evaluate to bool but got int"),
        (policy({"expression": "x"}), "spec.validations[0].expression", "undeclared reference to 'x'"),
        (policy({"expression": " "}), "spec.validations[0].expression", "expression is not specified"),
        (
            policy({"expression": "true", "messageExpression": "1"}),
            "spec.validations[0].messageExpression",
            "must evaluate to string but got int",
        ),
        (
            policy({"expression": "true", "messageExpression": "string(authorizer)"}),
            "spec.validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            policy({"expression": "true", "message": "a\nb"}),
            "spec.validations[0].message",
            "must not contain line breaks",
        ),
        (
            policy({"expression": "true", "reason": "NotFound"}),
            "spec.validations[0].reason",
            'supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
        ),
        (
            policy({"expression": "params.x == 1"}),
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (policy(), "spec.validations", "validations or auditAnnotations must contain at least one item"),
        (
            policy({"expression": "variables.a == 'x'"}, variables=[{"name": "a", "expression": "1"}]),
            "spec.validations[0].expression",
            "no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            policy({"expression": "variables.b"}, variables=[{"name": "a", "expression": "1"}]),
            "spec.validations[0].expression",
            "undefined field 'b'",
        ),
        (
            policy({"expression": "true"}, variables=[{"name": "in", "expression": "1"}]),
            "spec.variables[0].name",
            "name is not a valid CEL identifier",
        ),
        (
            policy({"expression": "true"}, matchConditions=[{"name": "a", "expression": "1 +"}]),
            "spec.matchConditions[0].expression",
            "Syntax error: mismatched input",
        ),
        (
            policy({"expression": "true"}, matchConditions=[{"name": "a", "expression": "true"}] * 2),
            "spec.matchConditions[1].name",
            "Duplicate value",
        ),
        (
            policy({"expression": "true"}, auditAnnotations=[{"key": "a b", "valueExpression": "'x'"}]),
            "spec.auditAnnotations[0].key",
            "name part must consist of alphanumeric characters",
        ),
        (
            policy({"expression": "true"}, auditAnnotations=[{"key": "a", "valueExpression": "1"}]),
            "spec.auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null_type] but got int",
        ),
        (
            policy({"expression": "true"}, paramKind={"apiVersion": "a/b/c", "kind": "X"}),
            "spec.paramKind.apiVersion",
            "unexpected GroupVersion string: a/b/c",
        ),
        (
            policy({"expression": "true"}, matchConstraints={"resourceRules": []}),
            "spec.matchConstraints.resourceRules",
            "Required value",
        ),
        (
            policy({"expression": "true"}, rules=[rule(operations=["READ"])]),
            "spec.matchConstraints.resourceRules[0].operations[0]",
            'supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        ),
        (
            policy({"expression": "true"}, rules=[rule(resources=["*/*", "pods"])]),
            "spec.matchConstraints.resourceRules[0].resources",
            "if '*/*' is present, must not specify other resources",
        ),
        (
            policy({"expression": "true"}, rules=[rule(resourceNames=["a", "a"])]),
            "spec.matchConstraints.resourceRules[0].resourceNames[1]",
            "Duplicate value",
        ),
    ],
)
def test_policy_that_is_refused(scheme: Scheme, made: Obj, field: str, told: str) -> None:
    found = causes(scheme, POLICIES, made)
    assert any(name == field and told in message for name, message in found)


@pytest.mark.parametrize(
    ("spec", "field", "told"),
    [
        ({"policyName": ""}, "spec.policyName", "Required value"),
        ({"validationActions": []}, "spec.validationActions", "at least one validation action is required"),
        (
            {"validationActions": ["Deny", "Warn"]},
            "spec.validationActions",
            "must not contain both Deny and Warn",
        ),
        (
            {"validationActions": ["Stop"]},
            "spec.validationActions[0]",
            'supported values: "Audit", "Deny", "Warn"',
        ),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "spec.paramRef", "one of name or selector"),
        ({"paramRef": {"name": "a"}}, "spec.paramRef.parameterNotFoundAction", "Required value"),
        (
            {"paramRef": {"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}},
            "spec.paramRef.name",
            "name and selector are mutually exclusive",
        ),
    ],
)
def test_binding_that_is_refused(scheme: Scheme, spec: Obj, field: str, told: str) -> None:
    made = binding()
    made["spec"].update(spec)
    assert any(name == field and told in message for name, message in causes(scheme, BINDINGS, made))


def test_good_policy_and_binding_are_taken(scheme: Scheme) -> None:
    made = policy(
        {"expression": "object.x == params.y && variables.v", "messageExpression": "'a' + string(params.z)"},
        paramKind={"apiVersion": "rules.example.com/v1", "kind": "Limit"},
        variables=[{"name": "v", "expression": "oldObject == null"}],
        matchConditions=[{"name": "c", "expression": "params.on == true"}],
        auditAnnotations=[{"key": "k", "valueExpression": "'x'"}],
    )
    assert causes(scheme, POLICIES, made) == []
    assert causes(scheme, BINDINGS, binding(paramRef={"name": "a", "parameterNotFoundAction": "Deny"})) == []


def test_types_are_checked_against_what_the_policy_concerns(scheme: Scheme) -> None:
    deployments = rule(apiGroups=["apps"], resources=["deployments"])
    made = policy(
        {"expression": "object.spec.replicas > '1'", "messageExpression": "string(object.spec.nothing)"},
        {"expression": "variables.n == 1"},
        {"expression": "object.metadata.labels.exists(k, k == 'a')"},
        rules=[deployments],
        variables=[{"name": "n", "expression": "object.spec.replicas"}],
    )
    found = typechecking.warnings(made, typechecking.concerned(made, scheme), None)
    assert [warning["fieldRef"] for warning in found] == [
        "spec.validations[0].expression",
        "spec.validations[0].messageExpression",
    ]
    assert found[0]["warning"].startswith(
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to "
        "'(int, string)'"
    )
    assert "undefined field 'nothing'" in found[1]["warning"]


def test_wildcards_are_not_checked(scheme: Scheme) -> None:
    made = policy({"expression": "object.nothing"}, rules=[rule(apiGroups=["*"])])
    assert typechecking.concerned(made, scheme) == []


async def test_checks_are_counted_by_what_came_of_them(world: World) -> None:
    counted = [
        metrics.POLICY_CHECKS.at("p", "b", "no_error", action) for action in ("allow", "warn", "audit")
    ]
    before = [series.value for series in counted]
    world.apply(policy({"expression": "true"}), binding("Deny"))
    await world.write(configmap())
    world.apply(policy({"expression": "false", "message": "m"}), binding("Warn", "Audit"))
    await world.write(configmap())
    assert [series.value - was for series, was in zip(counted, before, strict=True)] == [1, 1, 1]
