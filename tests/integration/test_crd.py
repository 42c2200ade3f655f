"""Custom resources as kubectl sees them, from definition to clean-up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Kubectl, eventually

Obj = dict[str, Any]
SPEC: Obj = {
    "type": "object",
    "required": ["cron"],
    "properties": {
        "cron": {"type": "string", "pattern": "^[0-9* ]+$"},
        "replicas": {"type": "integer", "minimum": 1, "default": 1},
        "image": {"type": "string"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"x-kubernetes-int-or-string": True}},
            },
        },
    },
}
STATUS: Obj = {"type": "object", "properties": {"replicas": {"type": "integer"}}}


def _definition(group: str) -> Obj:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Cron", "type": "string", "jsonPath": ".spec.cron"}],
        "selectableFields": [{"jsonPath": ".spec.image"}],
    }
    older = {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"tabs.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "tabs", "kind": "Tab", "shortNames": [f"t{group[:6]}"]},
            "versions": [version, older],
        },
    }


@pytest.fixture
def group(cluster: Kubectl) -> Iterator[str]:
    """A group of the test's own, with one definition in it."""
    name = f"g{uuid.uuid4().hex[:8]}.example.com"
    cluster.apply(_definition(name))
    cluster("wait", "--for=condition=Established", f"crd/tabs.{name}", "--timeout=10s")
    yield name
    cluster("delete", "crd", f"tabs.{name}", "--ignore-not-found", "--timeout=20s")


def _tab(group: str, name: str, **spec: Any) -> Obj:
    return {"apiVersion": f"{group}/v1", "kind": "Tab", "metadata": {"name": name}, "spec": spec}


def test_crd_objects_are_defaulted_printed_and_selected(kubectl: Kubectl, group: str) -> None:
    kubectl.apply(_tab(group, "a", cron="* *", image="i"))
    resource = f"tabs.{group}"
    assert kubectl.get(resource, "a")["spec"]["replicas"] == 1
    assert kubectl("get", resource).split() == ["NAME", "CRON", "a", "*", "*"]
    assert kubectl("get", resource, "--field-selector=spec.image=i", "-o", "name").strip() == f"tab.{group}/a"
    assert kubectl("get", resource, "--field-selector=spec.image=j", "-o", "name") == ""
    assert kubectl.get(f"tabs.v1beta1.{group}", "a")["apiVersion"] == f"{group}/v1beta1"
    assert "cron" in kubectl("explain", f"{resource}.spec")


def test_crd_objects_are_validated(kubectl: Kubectl, group: str) -> None:
    body = json.dumps(_tab(group, "a", cron="* *", odd=1))
    assert 'unknown field "spec.odd"' in kubectl.fails("create", "-f", "-", stdin=body)
    body = json.dumps(_tab(group, "a", cron="x", replicas=0))
    refusal = kubectl.fails("create", "-f", "-", stdin=body)
    assert "spec.cron in body should match '^[0-9* ]+$'" in refusal
    assert "spec.replicas in body should be greater than or equal to 1" in refusal


def test_crd_objects_are_patched_scaled_and_applied(kubectl: Kubectl, group: str) -> None:
    kubectl.apply(_tab(group, "a", cron="* *"))
    resource = f"tabs.{group}"
    kubectl(
        "patch", resource, "a", "--type=merge", "-p", '{"spec": {"image": "j"}, "status": {"replicas": 7}}'
    )
    kubectl(
        "patch", resource, "a", "--subresource=status", "--type=merge", "-p", '{"status": {"replicas": 3}}'
    )
    kubectl("scale", f"{resource}/a", "--replicas=4")
    found = kubectl.get(resource, "a")
    assert (found["spec"]["replicas"], found["status"], found["metadata"]["generation"]) == (
        4,
        {"replicas": 3},
        3,
    )
    assert "strategic-merge-patch" in kubectl.fails("patch", resource, "a", "-p", '{"spec": {}}')
    for manager, port in (("one", "80"), ("two", "81")):
        text = json.dumps(_tab(group, "a", ports=[{"name": manager, "port": port}]))
        kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=text)
    assert [p["name"] for p in kubectl.get(resource, "a")["spec"]["ports"]] == ["one", "two"]


def test_crd_deletion_takes_the_objects_along(kubectl: Kubectl, group: str) -> None:
    kubectl.apply(_tab(group, "a", cron="* *"))
    kubectl("delete", "crd", f"tabs.{group}", "--timeout=20s")
    kubectl.apply(_definition(group))
    eventually(lambda: kubectl.run(("get", f"tabs.{group}")).returncode == 0, "served again")
    assert kubectl("get", f"tabs.{group}", "-o", "name") == ""


def test_crd_schema_must_be_structural(cluster: Kubectl) -> None:
    crd = _definition("structural.example.com")
    for version in crd["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": {}}}
    refusal = cluster.fails("create", "-f", "-", stdin=json.dumps(crd))
    assert "spec.validation.openAPIV3Schema.properties[spec].type: Required value" in refusal
