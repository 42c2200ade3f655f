"""Discovery and OpenAPI documents hang together."""

from __future__ import annotations

import json
from typing import Any

from kdist.api.scheme import Scheme
from kdist.apiserver import discovery
from kdist.apiserver.openapi import OpenAPI


def test_classic_and_aggregated_discovery_name_the_same_resources(scheme: Scheme) -> None:
    classic = set()
    for group, versions in scheme.groups().items():
        for version in versions:
            document = discovery.api_resource_list(scheme, group, version)
            assert document is not None
            classic |= {(group, version, row["name"]) for row in document["resources"]}
    items = [
        g for core in (True, False) for g in discovery.aggregated(scheme, scheme.groups(), core=core)["items"]
    ]
    aggregated = {
        (group["metadata"].get("name", ""), version["version"], name)
        for group in items
        for version in group["versions"]
        for resource in version["resources"]
        for name in (
            resource["resource"],
            *(f"{resource['resource']}/{s['subresource']}" for s in resource.get("subresources", ())),
        )
    }
    assert classic == aggregated
    assert ("apps", "v1", "deployments/scale") in classic


def test_what_is_not_served_is_not_described(scheme: Scheme) -> None:
    assert discovery.api_group(scheme.groups(), "nope") is None
    assert discovery.api_resource_list(scheme, "apps", "v9") is None


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {r for item in node for r in _references(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own | {r for item in node.values() for r in _references(item)}


def test_openapi_documents_refer_only_to_what_they_hold(scheme: Scheme) -> None:
    documents = OpenAPI(scheme)
    for path in documents.v3_index()["paths"]:
        found = documents.v3(path)
        assert found is not None
        document = json.loads(found.body())
        held = {f"#/components/schemas/{name}" for name in document["components"].get("schemas", ())}
        assert _references(document) <= held
    whole = json.loads(documents.v2().body())
    held = {f"#/{part}/{name}" for part in ("definitions", "parameters") for name in whole[part]}
    assert _references(whole) <= held


def test_openapi_tells_kubectl_what_it_looks_for(scheme: Scheme) -> None:
    found = OpenAPI(scheme).v3("apis/apps/v1")
    assert found is not None
    document = json.loads(found.body())
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert {"fieldValidation", "dryRun"} <= {p["name"] for p in patch["parameters"]}
    template = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    assert template["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"
