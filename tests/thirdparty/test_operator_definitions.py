"""cert-manager's and the Prometheus operator's definitions and objects, as their users work with them.

The definitions are built from the schemas that model packages of PyPI carry (definitions.py says what that keeps).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Kubectl
from tests.thirdparty.definitions import DEFINITIONS, Definition, Obj

QUICK_SECONDS = 10  # a machine with two busy cores takes 1
_LARGEST = "prometheuses.monitoring.coreos.com"


def _object(kind: str, name: str, spec: Obj) -> Obj:
    groups = {d.kind: f"{d.group}/{d.version}" for d in DEFINITIONS}
    return {"apiVersion": groups[kind], "kind": kind, "metadata": {"name": name}, "spec": spec}


CERTIFICATE = {
    "secretName": "web-tls",
    "dnsNames": ["web.example.com"],
    "issuerRef": {"name": "ca", "kind": "Issuer"},
    "privateKey": {"algorithm": "ECDSA", "size": 256},
}
ACME = {
    "acme": {
        "server": "https://acme.example.com/directory",
        "privateKeySecretRef": {"name": "account"},
        "solvers": [
            {"http01": {"ingress": {"ingressClassName": "nginx"}}},
            {
                "dns01": {
                    "webhook": {
                        "groupName": "example.com",
                        "solverName": "s",
                        "config": {"any": [{"thing": 1}]},
                    }
                }
            },
        ],
    }
}
RULES = {
    "groups": [
        {
            "name": "availability",
            "interval": "1m30s",
            "partial_response_strategy": "WARN",
            "rules": [
                {"alert": "Down", "expr": "up == 0", "for": "5m", "labels": {"severity": "page"}},
                {"record": "one", "expr": 1},
            ],
        }
    ]
}
PROMETHEUS = {
    "replicas": 2,
    "shards": 1,
    "retention": "15d",
    "resources": {"requests": {"memory": "400Mi", "cpu": 1}},
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["one"]}],
    "storage": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}},
}
MONITOR = {"selector": {"matchLabels": {"app": "web"}}, "endpoints": [{"port": "metrics", "interval": "30s"}]}
MUTED = {
    "route": {"receiver": "none"},
    "receivers": [{"name": "none"}],
    "muteTimeIntervals": [
        {"name": "n", "timeIntervals": [{"months": ["January:march"], "weekdays": ["Saturday"]}]}
    ],
}
OBJECTS = (
    _object("Certificate", "web", CERTIFICATE),
    _object("Issuer", "ca", {"ca": {"secretName": "root"}}),
    _object("ClusterIssuer", "letters", ACME),
    _object("ServiceMonitor", "web", MONITOR),
    _object("PrometheusRule", "rules", RULES),
    _object("Prometheus", "main", PROMETHEUS),
    _object("Alertmanager", "main", {"replicas": 3}),
    _object("AlertmanagerConfig", "muted", MUTED),
)


@pytest.fixture(scope="module")
def seconds(cluster: Kubectl) -> Iterator[dict[str, float]]:
    """All definitions, created as their makers tell to; by name what it took until each was established."""
    took = {}
    for definition in DEFINITIONS:
        document = json.dumps(definition.build())
        begun = time.monotonic()
        cluster("create", "-f", "-", stdin=document)
        cluster("wait", "--for=condition=Established", f"crd/{definition.name}", "--timeout=20s")
        took[definition.name] = time.monotonic() - begun
    yield took
    names = [f"crd/{definition.name}" for definition in DEFINITIONS]
    cluster("delete", *names, "--ignore-not-found", "--timeout=30s")


@pytest.fixture
def installed(kubectl: Kubectl, seconds: dict[str, float]) -> Kubectl:
    """kubectl in a namespace of a cluster that has the definitions."""
    return kubectl


def _refused(kubectl: Kubectl, obj: Obj) -> str:
    return kubectl.fails("create", "-f", "-", stdin=json.dumps(obj))


def test_the_largest_definition_is_served_soon(seconds: dict[str, float]) -> None:
    largest = max(DEFINITIONS, key=lambda definition: len(json.dumps(definition.build())))
    assert largest.name == _LARGEST
    assert len(json.dumps(largest.build())) > 400_000
    assert seconds[_LARGEST] < QUICK_SECONDS


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_definitions_are_in_discovery_and_openapi(installed: Kubectl, definition: Definition) -> None:
    root = f"apis/{definition.group}/{definition.version}"
    resources = json.loads(installed("get", "--raw", f"/{root}"))["resources"]
    (resource,) = [r for r in resources if r["name"] == definition.plural]
    assert resource["shortNames"] == list(definition.short_names)
    assert resource["namespaced"] is (definition.scope == "Namespaced")
    described = json.loads(installed("get", "--raw", f"/openapi/v3/{root}"))["components"]["schemas"]
    group_versions = [
        g
        for s in described.values()
        for g in s.get("x-kubernetes-group-version-kind", ())
        if g["kind"] == definition.kind
    ]
    assert group_versions
    conditions = installed.get("crd", definition.name)["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {"NamesAccepted": "True", "Established": "True"}


def _within(wanted: Any, have: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(have, dict) and all(k in have and _within(v, have[k]) for k, v in wanted.items())
    return bool(wanted == have)


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: obj["kind"])
def test_objects_are_kept_whole_and_patched(installed: Kubectl, obj: Obj) -> None:
    resource, name = f"{obj['kind'].lower()}.{obj['apiVersion'].split('/')[0]}", obj["metadata"]["name"]
    assert installed.apply(obj).split() == [f"{resource}/{name}", "created"]
    have = installed.get(resource, name)
    assert have["metadata"]["generation"] == 1
    assert _within(obj["spec"], have["spec"])
    assert installed.apply(obj).split()[1] == "unchanged"
    patch = json.dumps({"metadata": {"labels": {"team": "a"}}})
    installed("patch", resource, name, "--type=merge", "-p", patch)
    assert installed("get", resource, "-l", "team=a", "-o", "name").strip() == f"{resource}/{name}"
    installed("delete", resource, name, "--timeout=20s")


def test_status_is_a_subresource_shown_in_the_columns(installed: Kubectl) -> None:
    installed.apply(_object("Certificate", "web", CERTIFICATE))
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = json.dumps({"status": {"conditions": [condition]}, "spec": {"secretName": "other"}})
    installed("patch", "cert", "web", "--subresource=status", "--type=merge", "-p", patch)
    assert installed("get", "cert").split() == ["NAME", "READY", "SECRET", "web", "True", "web-tls"]
    installed("wait", "--for=condition=Ready", "certificate/web", "--timeout=5s")


def test_prometheus_is_scaled(installed: Kubectl) -> None:
    installed.apply(_object("Prometheus", "main", PROMETHEUS))
    installed("scale", "prometheus/main", "--replicas=3")
    assert installed.get("prom", "main")["spec"]["shards"] == 3


def _apply(kubectl: Kubectl, manager: str, obj: Obj) -> None:
    kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=json.dumps(obj))


def _group(name: str, **more: Any) -> Obj:
    return {"name": name, "rules": [{"record": "r", "expr": "1"}], **more}


def test_two_managers_own_items_of_one_list(installed: Kubectl) -> None:
    _apply(installed, "platform", _object("PrometheusRule", "shared", {"groups": [_group("a")]}))
    _apply(installed, "team", _object("PrometheusRule", "shared", {"groups": [_group("b")]}))
    assert [g["name"] for g in installed.get("promrule", "shared")["spec"]["groups"]] == ["a", "b"]
    conflicting = json.dumps(_object("PrometheusRule", "shared", {"groups": [_group("a", rules=[])]}))
    told = installed.fails("apply", "--server-side", "--field-manager=team", "-f", "-", stdin=conflicting)
    assert 'conflict with "platform": .spec.groups[name="a"].rules' in told
    _apply(installed, "platform", _object("PrometheusRule", "shared", {"groups": [_group("c")]}))
    assert [g["name"] for g in installed.get("promrule", "shared")["spec"]["groups"]] == ["b", "c"]


def test_two_managers_share_a_prometheus(installed: Kubectl) -> None:
    _apply(installed, "platform", _object("Prometheus", "main", PROMETHEUS))
    alias = {"ip": "192.0.2.2", "hostnames": ["two"]}
    _apply(installed, "team", _object("Prometheus", "main", {"hostAliases": [alias], "logLevel": "debug"}))
    spec = installed.get("prom", "main")["spec"]
    assert [a["ip"] for a in spec["hostAliases"]] == ["192.0.2.1", "192.0.2.2"]
    assert (spec["logLevel"], spec["retention"]) == ("debug", "15d")


INVALID = {
    "missing": ("Certificate", {"secretName": "s"}, "spec.issuerRef: Required value"),
    "enumeration": (
        "Certificate", {**CERTIFICATE, "privateKey": {"rotationPolicy": "Often"}},
        'spec.privateKey.rotationPolicy: Unsupported value: "Often": supported values: "Never", "Always"',
    ),
    "type": (
        "ClusterIssuer", {"acme": {**ACME["acme"], "solvers": [{"http01": {"ingress": {"class": 1}}}]}},
        'spec.acme.solvers[0].http01.ingress.class: Invalid value: "integer"',
    ),
    "pattern": (
        "ServiceMonitor", {**MONITOR, "endpoints": [{"interval": "30parsecs"}]},
        'spec.endpoints[0].interval: Invalid value: "30parsecs": spec.endpoints[0].interval in body should match',
    ),
    "pattern with flags": (
        "PrometheusRule", {"groups": [_group("g", partial_response_strategy="never")]},
        'spec.groups[0].partial_response_strategy: Invalid value: "never"',
    ),
    "repeated key": (
        "PrometheusRule", {"groups": [_group("g"), _group("g")]},
        'spec.groups[1]: Duplicate value:',
    ),
    "quantity": (
        "Prometheus", {**PROMETHEUS, "resources": {"requests": {"memory": True}}},
        'spec.resources.requests.memory: Invalid value: "boolean"',
    ),
    "months": (
        "AlertmanagerConfig",
        {**MUTED, "muteTimeIntervals": [{"name": "n", "timeIntervals": [{"months": ["smarch"]}]}]},
        'spec.muteTimeIntervals[0].timeIntervals[0].months[0]: Invalid value: "smarch"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "spec", "told"), INVALID.values(), ids=INVALID.keys())
def test_invalid_objects_are_refused_with_the_path(
    installed: Kubectl, kind: str, spec: Obj, told: str
) -> None:
    answer = _refused(installed, _object(kind, "wrong", spec))
    assert answer.startswith(f'The {kind} "wrong" is invalid: ')
    assert told in answer


def test_unknown_fields_are_refused_warned_of_or_pruned(installed: Kubectl) -> None:
    endpoint = {"port": "metrics", "intervall": "30s"}
    document = json.dumps(_object("ServiceMonitor", "typo", {**MONITOR, "endpoints": [endpoint]}))
    told = installed.fails("create", "--validate=strict", "-f", "-", stdin=document)
    assert 'unknown field "spec.endpoints[0].intervall"' in told
    done = installed.run(("create", "--validate=warn", "-f", "-"), document)
    assert done.returncode == 0, done.stderr
    assert 'Warning: unknown field "spec.endpoints[0].intervall"' in done.stderr
    assert installed.get("smon", "typo")["spec"]["endpoints"] == [{"port": "metrics"}]


EXPLAINED = {
    "certificate.spec.issuerRef": "Reference to the issuer responsible for issuing the certificate",
    "clusterissuer.spec.acme.solvers.dns01.webhook": "solverName\t<string> -required-",
    "prometheus.spec.storage.volumeClaimTemplate.spec.resources": "requests\t<map[string]Object>",
    "alertmanager.spec.containers.ports": "containerPort\t<integer> -required-",
    "prometheusrule.spec.groups.rules": "keep_firing_for\t<string>",
    "servicemonitor.spec.endpoints.relabelings": "sourceLabels\t<[]string>",
}


@pytest.mark.parametrize(("path", "told"), EXPLAINED.items())
def test_fields_are_explained(installed: Kubectl, path: str, told: str) -> None:
    answer = installed("explain", path)
    assert told in re.sub(r" {2,}", " ", answer)
