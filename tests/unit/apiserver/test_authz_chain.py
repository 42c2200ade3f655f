"""The chain of authorizers: webhooks over real HTTPS, their configuration, selectors, and what nodes may read."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kdist.api.errors import Forbidden, Invalid
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz import Attributes, Authorizer
from kdist.apiserver.authz import configuration as authorization
from kdist.apiserver.authz.conditions import BadCondition, compile_condition
from kdist.apiserver.authz.reviews import self_subject_rules_review, subject_access_review
from kdist.apiserver.authz.webhook import Unasked, WebhookMode, WebhookSettings, spec_of
from kdist.apiserver.configfile import ConfigurationError, seconds
from kdist.client.kubeconfig import Access
from kdist.client.rest import Client
from kdist.config.apiserver import ApiServerSettings
from tests.unit.apiserver.test_openid import Clock, serve

JANE = User("jane", groups=("dev",), extra={"scope": ("a",)})
NODE = User("system:node:w1", groups=("system:nodes",))


class Reader:
    """Caches with nothing but what is put into them."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Any]] = {}

    def on_change(self, kind: Any, callback: Any) -> None:
        self.listeners.setdefault(kind.plural, []).append(callback)

    def put(self, plural: str, namespace: str, name: str, obj: Any) -> None:
        for callback in self.listeners[plural]:
            callback(namespace, name, obj)

    def get(self, *_: Any) -> None:
        return None

    def list(self, *_: Any) -> list[Any]:
        return []


class Deciding:
    """A webhook that allows reads of pods, denies secrets and has no opinion of the rest."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.broken = False

    async def review(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews.append(review)
        if self.broken:
            return web.Response(status=403)
        resource = review["spec"].get("resourceAttributes", {}).get("resource")
        status: dict[str, Any] = {"allowed": resource == "pods", "reason": "because"}
        if resource == "secrets":
            status["denied"] = True
        return web.json_response({**review, "status": status})


@pytest.fixture
async def deciding() -> AsyncIterator[tuple[Deciding, Client]]:
    deciding = Deciding()
    app = web.Application()
    app.router.add_post("/authorize", deciding.review)
    runner, url, ca = await serve(app)
    client = Client(
        Access((f"{url}/authorize",), ssl.create_default_context(cadata=ca.decode())), user_agent="t"
    )
    yield deciding, client
    await client.__aexit__(None, None, None)
    await runner.cleanup()


def chain(client: Client, *modes: str, clock: Clock | None = None, **settings: Any) -> Authorizer:
    webhook = WebhookMode(client, WebhookSettings("w", **settings), clock or Clock())
    return Authorizer(Reader(), [webhook, *modes])


async def test_a_webhook_allows_denies_or_leaves_it_to_the_next(deciding: tuple[Deciding, Client]) -> None:
    webhook, client = deciding
    authorizer = chain(client, "AlwaysAllow")
    pods, secrets = (Attributes(JANE, "list", resource=r, namespace="ns") for r in ("pods", "secrets"))
    with pytest.raises(Unasked):
        authorizer.authorize(pods)
    assert (await authorizer.settle(authorizer.authorize, pods)).reason == "because"
    assert (await authorizer.settle(authorizer.authorize, secrets)).denied
    with pytest.raises(Forbidden, match="because"):
        await authorizer.settle(authorizer.require, secrets)
    assert (await authorizer.settle(authorizer.authorize, Attributes(JANE, "get", path="/x"))).allowed
    asked = webhook.reviews[0]
    assert asked["apiVersion"] == "authorization.k8s.io/v1"
    assert asked["spec"] == {
        "resourceAttributes": {"namespace": "ns", "verb": "list", "resource": "pods"},
        "user": "jane",
        "groups": ["dev"],
        "extra": {"scope": ["a"]},
    }


async def test_masters_are_not_asked_about(deciding: tuple[Deciding, Client]) -> None:
    webhook, client = deciding
    root = User("root", groups=("system:masters",))
    assert chain(client).authorize(Attributes(root, "get", resource="secrets")).allowed
    assert webhook.reviews == []


async def test_answers_are_kept_by_their_kind(deciding: tuple[Deciding, Client]) -> None:
    webhook, client = deciding
    clock = Clock()
    authorizer = chain(client, clock=clock, authorized_ttl=300, unauthorized_ttl=30)
    pods, secrets = (Attributes(JANE, "list", resource=r) for r in ("pods", "secrets"))
    for _ in range(2):
        await authorizer.settle(authorizer.authorize, pods)
        await authorizer.settle(authorizer.authorize, secrets)
    assert len(webhook.reviews) == 2
    clock.now += 31
    await authorizer.settle(authorizer.authorize, pods)
    await authorizer.settle(authorizer.authorize, secrets)
    assert len(webhook.reviews) == 3


async def test_an_answer_is_used_even_when_none_is_kept(deciding: tuple[Deciding, Client]) -> None:
    _, client = deciding
    authorizer = chain(client, authorized_ttl=-1, unauthorized_ttl=-1)
    assert (await authorizer.settle(authorizer.authorize, Attributes(JANE, "get", resource="pods"))).allowed


@pytest.mark.parametrize(("deny", "allowed"), [(True, False), (False, True)])
async def test_a_webhook_that_fails_denies_or_has_no_opinion(
    deciding: tuple[Deciding, Client], deny: bool, allowed: bool
) -> None:
    webhook, client = deciding
    webhook.broken = True
    authorizer = chain(client, "AlwaysAllow", deny_on_failure=deny)
    decision = await authorizer.settle(authorizer.authorize, Attributes(JANE, "get", resource="pods"))
    assert decision.allowed is allowed


async def test_the_old_version_calls_groups_group(deciding: tuple[Deciding, Client]) -> None:
    webhook, client = deciding
    authorizer = chain(client, version="v1beta1")
    await authorizer.settle(authorizer.authorize, Attributes(JANE, "get", resource="pods"))
    assert webhook.reviews[0]["spec"]["group"] == ["dev"]
    assert webhook.reviews[0]["apiVersion"] == "authorization.k8s.io/v1beta1"


async def test_a_webhook_is_asked_only_about_what_matches(deciding: tuple[Deciding, Client]) -> None:
    webhook, client = deciding
    conditions = [
        compile_condition("has(request.resourceAttributes)"),
        compile_condition("request.resourceAttributes.namespace == 'kube-system'"),
    ]
    authorizer = chain(client, "AlwaysAllow", conditions=conditions)
    elsewhere = Attributes(JANE, "get", resource="secrets", namespace="default")
    assert authorizer.authorize(elsewhere).allowed
    assert authorizer.authorize(Attributes(JANE, "get", path="/healthz")).allowed
    assert webhook.reviews == []
    system = elsewhere._replace(namespace="kube-system")
    assert (await authorizer.settle(authorizer.authorize, system)).denied


def test_a_condition_must_be_one() -> None:
    for expression in ("request.user", "request.nothing == ''", "1 +"):
        with pytest.raises(BadCondition):
            compile_condition(expression)
    broken = compile_condition("request.nonResourceAttributes.path == '/'")
    assert broken({"user": "jane", "resourceAttributes": {"verb": "get"}}) is None


def test_selectors_reach_the_webhook() -> None:
    listing = Attributes(
        JANE,
        "list",
        resource="pods",
        field_selector="spec.nodeName=w1,a!=b",
        label_selector="app in (x,y),!z",
    )
    resource = spec_of(listing)["resourceAttributes"]
    assert resource["fieldSelector"]["requirements"] == [
        {"key": "spec.nodeName", "operator": "In", "values": ["w1"]},
        {"key": "a", "operator": "NotIn", "values": ["b"]},
    ]
    assert resource["labelSelector"]["requirements"] == [
        {"key": "app", "operator": "In", "values": ["x", "y"]},
        {"key": "z", "operator": "DoesNotExist"},
    ]
    assert "fieldSelector" not in spec_of(listing._replace(verb="get"))["resourceAttributes"]


# ----- nodes


def allowed(authorizer: Authorizer, verb: str, resource: str, **rest: Any) -> bool:
    return authorizer.authorize(Attributes(NODE, verb, resource=resource, **rest)).allowed


def test_a_node_reads_its_own_pods_and_itself() -> None:
    reader = Reader()
    authorizer = Authorizer(reader, ["Node"])
    reader.put("pods", "ns", "mine", {"metadata": {"name": "mine"}, "spec": {"nodeName": "w1"}})
    reader.put("pods", "ns", "other", {"metadata": {"name": "other"}, "spec": {"nodeName": "w2"}})
    assert allowed(authorizer, "get", "pods", namespace="ns", name="mine")
    assert not allowed(authorizer, "get", "pods", namespace="ns", name="other")
    assert not allowed(authorizer, "list", "pods")
    assert allowed(authorizer, "list", "pods", field_selector="spec.nodeName=w1")
    assert allowed(authorizer, "watch", "pods", field_selector="status.phase=Running,spec.nodeName=w1")
    assert not allowed(authorizer, "watch", "pods", field_selector="spec.nodeName=w2")
    assert not allowed(authorizer, "watch", "pods", field_selector="spec.nodeName!=w1")
    assert allowed(authorizer, "get", "nodes", name="w1")
    assert not allowed(authorizer, "get", "nodes", name="w2")
    assert not allowed(authorizer, "list", "nodes")
    assert not allowed(authorizer, "delete", "nodes", name="w1")
    assert not allowed(authorizer, "create", "pods", subresource="binding", namespace="ns", name="mine")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"verb": "list", "resource": "secrets"}, "can only read namespaced object of this type"),
        ({"verb": "create", "resource": "secrets", "namespace": "n"}, "can only read resources of this type"),
        ({"verb": "list", "resource": "persistentvolumes"}, "can only get individual resources of this type"),
        ({"verb": "list", "resource": "nodes"}, "node 'w1' cannot read all nodes, only its own Node object"),
        (
            {"verb": "get", "resource": "serviceaccounts", "namespace": "n", "name": "a"},
            "can only create tokens for individual service accounts",
        ),
        (
            {"verb": "get", "group": "coordination.k8s.io", "resource": "leases", "namespace": "kube-system"},
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            {"verb": "get", "group": "storage.k8s.io", "resource": "csinodes", "name": "w2"},
            "can only access CSINode with the same name as the requesting node",
        ),
    ],
)
def test_a_node_is_told_why_not(attributes: dict[str, str], reason: str) -> None:
    decision = Authorizer(Reader(), ["Node"]).authorize(Attributes(NODE, **attributes))
    assert (decision.allowed, decision.reason) == (False, reason)


def test_what_a_node_may_do_is_no_list_of_rules() -> None:
    status = self_subject_rules_review(Authorizer(Reader()), NODE, {"spec": {"namespace": "ns"}})["status"]
    assert status["incomplete"]
    assert status["evaluationError"] == "node authorizer does not support user rule resolution"
    assert status["resourceRules"] == []


# ----- reviews


def reviewed(**resource: Any) -> dict[str, Any]:
    spec = {"user": "system:node:w1", "groups": ["system:nodes"]}
    body = {"spec": {**spec, "resourceAttributes": {"verb": "list", "resource": "pods", **resource}}}
    status: dict[str, Any] = subject_access_review(Authorizer(Reader(), ["Node"]), body)["status"]
    return status


def test_a_review_may_ask_with_selectors() -> None:
    one = {"key": "spec.nodeName", "operator": "In", "values": ["w1"]}
    assert reviewed(fieldSelector={"requirements": [one]})["allowed"]
    assert reviewed(fieldSelector={"rawSelector": "spec.nodeName=w1"})["allowed"]
    assert not reviewed(fieldSelector={"rawSelector": "spec.nodeName=w2"})["allowed"]
    partly = reviewed(fieldSelector={"requirements": [one, {"key": "a", "operator": "Exists"}]})
    assert partly["allowed"]
    assert "fieldSelector partially ignored due to parse error" in partly["evaluationError"]
    assert "labelSelector ignored" in reviewed(labelSelector={"rawSelector": "a in b)"})["evaluationError"]


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        ({}, "requirements"),
        ({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}, "rawSelector"),
        ({"requirements": [{"operator": "Exists"}]}, "requirements[0].key"),
        ({"requirements": [{"key": "a", "operator": "In"}]}, "requirements[0].values"),
    ],
)
def test_a_bad_selector_is_refused_by_field(selector: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        reviewed(fieldSelector=selector)
    assert [c.field for c in refused.value.causes] == [f"spec.resourceAttributes.fieldSelector.{field}"]


# ----- configuration


def webhook(**given: Any) -> dict[str, Any]:
    body = {
        "timeout": "3s",
        "authorizedTTL": "5m",
        "unauthorizedTTL": "30s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "InClusterConfig"},
        **given,
    }
    body = {key: value for key, value in body.items() if value is not None}
    return {
        "authorizers": [{"type": "Webhook", "name": "w", "webhook": body}, {"type": "RBAC", "name": "rbac"}]
    }


def test_a_document_makes_a_chain() -> None:
    hook, rbac = authorization.parse(webhook())
    assert rbac.type == "RBAC"
    assert hook.webhook is not None
    assert (hook.webhook.timeout, hook.webhook.authorized_ttl, hook.webhook.deny_on_failure) == (3, 300, True)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "authorizers: Required value: at least one authorization mode"),
        (
            {"authorizers": [{"type": "Magic", "name": "m"}]},
            'authorizers[0].type: Unsupported value: "Magic"',
        ),
        ({"authorizers": [{"type": "RBAC"}]}, "authorizers[0].name: Required value"),
        (
            {"authorizers": [{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}]},
            "authorizers[1].type",
        ),
        (
            {"authorizers": [{"type": "RBAC", "name": "a"}, {"type": "Node", "name": "a"}]},
            "authorizers[1].name",
        ),
        ({"authorizers": [{"type": "Webhook", "name": "a"}]}, "authorizers[0].webhook: Required value"),
        (
            {"authorizers": [{"type": "RBAC", "name": "a", "webhook": {}}]},
            "may only be specified when type=Webhook",
        ),
        (webhook(timeout="31s"), 'webhook.timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        (webhook(timeout="soon"), "webhook.timeout: Invalid value"),
        (webhook(failurePolicy=None), "webhook.failurePolicy: Required value"),
        (webhook(failurePolicy="Shrug"), 'webhook.failurePolicy: Unsupported value: "Shrug"'),
        (webhook(subjectAccessReviewVersion="v2"), 'subjectAccessReviewVersion: Unsupported value: "v2"'),
        (webhook(connectionInfo={"type": "KubeConfigFile"}), "connectionInfo.kubeConfigFile: Required value"),
        (
            webhook(connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "x"}),
            'kubeConfigFile: Invalid value: "x": must be an absolute path',
        ),
        (webhook(matchConditions=[{"expression": "true"}]), "required if match conditions are specified"),
        (
            webhook(matchConditions=[{"expression": "1"}], matchConditionSubjectAccessReviewVersion="v1"),
            'matchConditions[0].expression: Invalid value: "1": must evaluate to bool',
        ),
    ],
)
def test_a_bad_document_is_told_by_field(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        authorization.parse(document)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"authorization_mode": ()}, "at least one authorization-mode"),
        ({"authorization_mode": ("ABAC",)}, "not a valid mode"),
        ({"authorization_mode": ("RBAC", "RBAC")}, "more than once"),
        ({"authorization_mode": ("Webhook",)}, "go together"),
        ({"authorization_webhook_config_file": Path("/x")}, "go together"),
    ],
)
def test_bad_flags_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        authorization.configured(ApiServerSettings(**given))


def test_durations_are_read_as_go_writes_them() -> None:
    assert seconds("1m30s") == 90
    assert seconds("1.5h") == 5400
    assert seconds("250ms") == 0.25
    for bad in ("", "10", "s", "1m 30s"):
        with pytest.raises(ValueError, match="invalid duration"):
            seconds(bad)
