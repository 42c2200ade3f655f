"""What RBAC, the Node authorizer and the escalation checks promise."""

from collections import defaultdict

import pytest

from kdist.api import meta
from kdist.api.errors import Forbidden
from kdist.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, PODS, ROLE_BINDINGS, ROLES
from kdist.apiserver.authn.user import User, service_account_user
from kdist.apiserver.authz import Attributes, Authorizer
from kdist.apiserver.authz.attributes import forbidden
from kdist.apiserver.authz.escalation import check_binding, check_role
from kdist.apiserver.authz.impersonation import impersonate
from kdist.apiserver.authz.reviews import self_subject_rules_review, subject_access_review
from kdist.apiserver.bootstrap.objects import default_objects, kind_of

ALICE = User("alice", groups=("dev", "system:authenticated"))


class Cache:
    """A watch cache that is told what changes."""

    def __init__(self):
        self.callbacks = defaultdict(list)

    def on_change(self, kind, callback):
        self.callbacks[kind].append(callback)

    def put(self, kind, obj):
        for callback in self.callbacks[kind]:
            callback(meta.namespace(obj), meta.name(obj), obj)

    def drop(self, kind, namespace, name):
        for callback in self.callbacks[kind]:
            callback(namespace, name, None)


def role(name, *rules, namespace=""):
    return {"metadata": {"name": name, "namespace": namespace}, "rules": list(rules)}


def binding(name, to, subject, namespace="", kind="ClusterRole"):
    return {
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"kind": kind, "name": to},
        "subjects": [subject],
    }


READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
DEVELOPERS = {"kind": "Group", "name": "dev"}


@pytest.fixture
def cache():
    return Cache()


@pytest.fixture
def authorizer(cache):
    return Authorizer(cache)


def may(authorizer, user, verb, resource, namespace="", name="", subresource="", group=""):
    return authorizer.authorize(
        Attributes(user, verb, group, "v1", resource, subresource, namespace, name)
    ).allowed


def test_a_role_binding_grants_a_cluster_role_in_its_namespace_only(cache, authorizer):
    cache.put(CLUSTER_ROLES, role("reader", READ_PODS))
    cache.put(ROLE_BINDINGS, binding("b", "reader", DEVELOPERS, "team"))
    assert may(authorizer, ALICE, "list", "pods", "team")
    assert not may(authorizer, ALICE, "list", "pods", "other")
    assert not may(authorizer, ALICE, "list", "pods")
    assert not may(authorizer, ALICE, "get", "pods", "team", subresource="log")


def test_changes_of_roles_and_bindings_count_at_once(cache, authorizer):
    cache.put(ROLE_BINDINGS, binding("b", "local", DEVELOPERS, "team", "Role"))
    assert not may(authorizer, ALICE, "get", "pods", "team")
    cache.put(ROLES, role("local", READ_PODS, namespace="team"))
    assert may(authorizer, ALICE, "get", "pods", "team")
    cache.drop(ROLE_BINDINGS, "team", "b")
    assert not may(authorizer, ALICE, "get", "pods", "team")


def test_service_accounts_are_found_by_namespace_and_name(cache, authorizer):
    cache.put(CLUSTER_ROLES, role("reader", READ_PODS))
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"}
    cache.put(CLUSTER_ROLE_BINDINGS, binding("b", "reader", subject))
    assert may(authorizer, service_account_user("ci", "bot"), "get", "pods", "any")
    assert not may(authorizer, service_account_user("other", "bot"), "get", "pods", "any")


def test_refusals_read_as_kubectl_users_know_them():
    refused = Attributes(User("x"), "list", "", "v1", "pods", namespace="default")
    expected = 'User "x" cannot list resource "pods" in API group "" in the namespace "default"'
    assert forbidden(refused).message == f"pods is forbidden: {expected}"
    named = Attributes(User("x"), "get", "apps", "v1", "deployments", "scale", "", "web")
    assert forbidden(named).message == (
        'deployments.apps "web" is forbidden: User "x" cannot get resource "deployments/scale" '
        'in API group "apps" at the cluster scope'
    )
    assert forbidden(Attributes(User("x"), "get", path="/metrics")).message == (
        'forbidden: User "x" cannot get path "/metrics"'
    )


def test_nobody_writes_a_role_with_more_than_they_hold(cache, authorizer):
    cache.put(CLUSTER_ROLES, role("reader", READ_PODS))
    cache.put(CLUSTER_ROLE_BINDINGS, binding("b", "reader", DEVELOPERS))
    check_role(authorizer, ALICE, "clusterroles", role("same", READ_PODS), None)
    wider = role("wider", {**READ_PODS, "verbs": ["get", "delete"]})
    with pytest.raises(Forbidden, match='Resources:\\["pods"\\], Verbs:\\["delete"\\]'):
        check_role(authorizer, ALICE, "clusterroles", wider, None)
    cache.put(CLUSTER_ROLES, role("admin", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}))
    with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
        check_binding(authorizer, ALICE, "clusterrolebindings", binding("mine", "admin", DEVELOPERS), None)


def test_a_node_reads_what_its_pods_refer_to_and_nothing_else(cache, authorizer):
    node = User("system:node:n1", groups=("system:nodes",))
    pod = {
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"nodeName": "n1", "volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
    }
    assert not may(authorizer, node, "get", "secrets", "a", "s")
    cache.put(PODS, pod)
    assert may(authorizer, node, "get", "secrets", "a", "s")
    assert not may(authorizer, node, "get", "secrets", "a", "other")
    assert not may(authorizer, node, "list", "secrets", "a")
    assert not may(authorizer, User("system:node:n2", groups=("system:nodes",)), "get", "secrets", "a", "s")
    cache.drop(PODS, "a", "p")
    assert not may(authorizer, node, "get", "secrets", "a", "s")
    assert may(authorizer, node, "update", "leases", "kube-node-lease", "n1", group="coordination.k8s.io")
    assert not may(authorizer, node, "update", "leases", "kube-node-lease", "n2", group="coordination.k8s.io")


def test_impersonation_takes_permission_and_gives_the_groups_of_the_target(cache, authorizer):
    headers = [(b"impersonate-user", b"system:serviceaccount:ci:bot")]
    with pytest.raises(Forbidden, match='cannot impersonate resource "serviceaccounts"'):
        impersonate(authorizer, ALICE, headers)
    admin = User("root", groups=("system:masters",))
    assert impersonate(authorizer, admin, headers) == service_account_user("ci", "bot")
    assert impersonate(authorizer, admin, []) is admin


def test_reviews_answer_for_the_default_policy(cache, authorizer):
    for obj in default_objects():
        cache.put(kind_of(obj), obj)
    scheduler = {
        "user": "system:kube-scheduler",
        "resourceAttributes": {"verb": "create", "resource": "pods"},
    }
    scheduler["resourceAttributes"]["subresource"] = "binding"
    answer = subject_access_review(authorizer, {"spec": scheduler})
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole '
        '"system:kube-scheduler" to User "system:kube-scheduler"',
    }
    rules = self_subject_rules_review(authorizer, ALICE, {"spec": {"namespace": "default"}})["status"]
    assert {
        "verbs": ["create"],
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["selfsubjectreviews"],
    } in (rules["resourceRules"])
    assert not may(authorizer, ALICE, "list", "secrets", "default")
    anonymous = User("system:anonymous", groups=("system:unauthenticated",))
    assert authorizer.authorize(Attributes(anonymous, "get", path="/livez")).allowed
    assert not authorizer.authorize(Attributes(anonymous, "get", path="/metrics")).allowed
