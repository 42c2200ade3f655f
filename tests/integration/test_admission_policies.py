"""Admission policies and match conditions with kubectl: written, refused, applied, with parameters of a custom kind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Kubectl, eventually

Obj = dict[str, Any]
GROUP = "admissionregistration.k8s.io/v1"
DENY_ALL = {"expression": "false", "message": "not here"}


def rule(group: str, *resources: str, **more: Any) -> Obj:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": list(resources),
        **more,
    }


def manifest(kind: str, name: str, **content: Any) -> Obj:
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, **content}


@pytest.fixture
def name(kubectl: Kubectl) -> Iterator[str]:
    """A name for a policy and its binding, which are gone afterwards."""
    made = f"policy-{uuid.uuid4().hex[:8]}"
    yield made
    for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        kubectl("delete", plural, made, "--ignore-not-found")


class Policies:
    """Writes a policy of one name that concerns only the test's namespace."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl, self._name = kubectl, name

    def policy(self, *validations: Obj, rules: list[Obj] | None = None, **spec: Any) -> Obj:
        constraints: Obj = {"resourceRules": rules or [rule("", "configmaps")]}
        content = {"matchConstraints": constraints, "validations": list(validations), **spec}
        return manifest("ValidatingAdmissionPolicy", self._name, spec=content)

    def binding(self, *actions: str, **spec: Any) -> Obj:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self._kubectl.namespace}}
        content = {
            "policyName": self._name,
            "validationActions": list(actions) or ["Deny"],
            "matchResources": {"namespaceSelector": selector},
            **spec,
        }
        return manifest("ValidatingAdmissionPolicyBinding", self._name, spec=content)

    def apply(self, policy: Obj, binding: Obj | None = None) -> None:
        self._kubectl.apply(policy, binding or self.binding())

    def refused(self, *args: str) -> str:
        """What a dry run of a command is refused with, as soon as the policy is known."""
        command = (*args, "--dry-run=server")
        return eventually(lambda: self._kubectl.run(command).stderr, "the policy is applied")


@pytest.fixture
def policies(kubectl: Kubectl, name: str) -> Policies:
    return Policies(kubectl, name)


def test_policy_refuses_with_its_message(kubectl: Kubectl, policies: Policies, name: str) -> None:
    policies.apply(
        policies.policy(
            {
                "expression": "variables.keys <= 1 || object.metadata.name == 'kube-root-ca.crt'",
                "messageExpression": "'at most 1 key, not ' + string(variables.keys)",
                "reason": "Forbidden",
            },
            variables=[{"name": "keys", "expression": "object.?data.orValue({}).size()"}],
        )
    )
    told = policies.refused("create", "configmap", "a", "--from-literal=x=1", "--from-literal=y=2")
    assert told.strip() == (
        'error: failed to create configmap: configmaps "a" is forbidden: '
        f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: at most 1 key, not 2"
    )
    kubectl("create", "configmap", "a", "--from-literal=x=1")
    assert "at most 1 key" in kubectl.fails("patch", "configmap", "a", "-p", '{"data": {"y": "2"}}')
    kubectl("delete", "validatingadmissionpolicybinding", name)
    kubectl("patch", "configmap", "a", "-p", '{"data": {"y": "2"}}')


def test_warning_is_shown_and_the_write_goes_on(kubectl: Kubectl, policies: Policies, name: str) -> None:
    policies.apply(policies.policy(DENY_ALL), policies.binding("Warn", "Audit"))
    told = policies.refused("create", "configmap", "a")
    assert told.strip() == (
        f"Warning: Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': not here"
    )
    assert "configmap/a created" in kubectl("create", "configmap", "a")


def test_status_tells_of_types_that_do_not_fit(kubectl: Kubectl, policies: Policies, name: str) -> None:
    deployments = [rule("apps", "deployments")]
    kubectl.apply(policies.policy({"expression": "object.spec.replicas > '1'"}, rules=deployments))

    def status() -> Obj:
        return kubectl.get("validatingadmissionpolicy", name).get("status", {})

    eventually(lambda: status().get("observedGeneration") == 1, "the policy is observed")
    warning = status()["typeChecking"]["expressionWarnings"][0]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    assert "apps/v1, Kind=Deployment" in warning["warning"]
    assert "found no matching overload for '_>_' applied to '(int, string)'" in warning["warning"]
    kubectl.apply(policies.policy({"expression": "object.spec.replicas > 1"}, rules=deployments))
    eventually(lambda: status().get("observedGeneration") == 2, "the change is observed")
    assert "expressionWarnings" not in status()["typeChecking"]


def test_faults_of_policies_are_refused_with_their_places(kubectl: Kubectl, policies: Policies) -> None:
    made = policies.policy(
        {"expression": "object.x ==", "messageExpression": "1"},
        matchConditions=[{"name": "c", "expression": "nothing"}],
    )
    told = kubectl.fails("create", "-f", "-", stdin=json.dumps(made))
    assert "spec.matchConditions[0].expression: Invalid value" in told
    assert "undeclared reference to 'nothing'" in told
    assert "spec.validations[0].expression: Invalid value" in told
    assert "Syntax error: mismatched input '<EOF>'" in told
    assert 'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string' in told


def test_parameters_are_objects_of_a_custom_kind(kubectl: Kubectl, policies: Policies) -> None:
    group = f"{uuid.uuid4().hex[:8]}.example.com"
    limits = {"type": "object", "properties": {"most": {"type": "integer"}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": limits}}
    kubectl.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"limits.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "limits", "kind": "Limit"},
                "versions": [version],
            },
        }
    )
    kubectl("wait", "--for=condition=Established", f"crd/limits.{group}", "--timeout=20s")
    limit = {"apiVersion": f"{group}/v1", "kind": "Limit", "metadata": {"name": "deployments"}, "most": 2}
    kubectl.apply(limit)
    made = policies.policy(
        {
            "expression": "object.spec.replicas <= params.most",
            "messageExpression": "'at most ' + string(params.most)",
        },
        rules=[rule("apps", "deployments")],
        paramKind={"apiVersion": f"{group}/v1", "kind": "Limit"},
    )
    ref = {"name": "deployments", "parameterNotFoundAction": "Deny"}
    policies.apply(made, policies.binding(paramRef=ref))
    create = ("create", "deployment", "d", "--image=i", "--replicas=3")
    assert "denied request: at most 2" in policies.refused(*create)
    kubectl.apply({**limit, "most": 3})
    kubectl(*create, "--dry-run=server")
    kubectl("delete", "limits", "deployments")
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in kubectl.fails(*create)
    kubectl("delete", "crd", f"limits.{group}")


def test_other_versions_of_the_same_objects_are_concerned(kubectl: Kubectl, policies: Policies) -> None:
    """A policy for autoscaling/v2 concerns what comes as autoscaling/v1, and sees it as v2."""
    made = policies.policy(
        {"expression": "object.spec.metrics.all(m, m.type != 'Resource')", "message": "no metrics"},
        rules=[rule("autoscaling", "horizontalpodautoscalers", apiVersions=["v2"])],
    )
    policies.apply(made)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    scaler = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }
    command = ("create", "-f", "-", "--dry-run=server")
    told = eventually(lambda: kubectl.run(command, json.dumps(scaler)).stderr, "the policy is applied")
    assert "denied request: no metrics" in told


def hook(kind: str, name: str, namespace: str, *conditions: Obj) -> Obj:
    made = {
        "name": "nobody.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/nobody"},
        "rules": [rule("", "configmaps")],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "matchConditions": list(conditions),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return manifest(kind, name, webhooks=[made])


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
def test_match_conditions_keep_requests_from_a_webhook(kubectl: Kubectl, name: str, kind: str) -> None:
    skip = {"name": "skip", "expression": "object.metadata.name != 'skip-me'"}
    kubectl.apply(hook(kind, name, kubectl.namespace, skip))
    asked = ("create", "configmap", "asked", "--dry-run=server")
    told = eventually(lambda: kubectl.run(asked).stderr, "the webhook is known")
    assert 'failed calling webhook "nobody.example.com"' in told
    kubectl("create", "configmap", "skip-me", "--dry-run=server")
    failing = {"name": "fails", "expression": "object.missing == 1"}
    kubectl.apply(hook(kind, name, kubectl.namespace, failing))
    eventually(lambda: "no such key: missing" in kubectl.run(asked).stderr, "a failing condition refuses")
    kubectl("delete", kind.lower(), name)


def test_faults_of_match_conditions_are_refused(kubectl: Kubectl, name: str) -> None:
    bad = hook("ValidatingWebhookConfiguration", name, "x", {"name": "bad", "expression": "... [] bad"})
    told = kubectl.fails("create", "-f", "-", stdin=json.dumps(bad))
    assert "webhooks[0].matchConditions[0].expression: Invalid value" in told
    assert "compilation failed" in told
