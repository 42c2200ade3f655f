"""kubectl as released changes objects: create, apply, replace, patch, edit, diff, label, annotate, delete."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.integration.conftest import Kubectl
from tests.integration.manifests import config_map, deployment, pod


def _data(kubectl: Kubectl, name: str) -> dict[str, str]:
    data: dict[str, str] = kubectl.get("configmap", name)["data"]
    return data


def test_create_refuses_what_exists(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "one", "--from-literal=a=1")
    refusal = kubectl.fails("create", "configmap", "one", "--from-literal=a=1")
    assert 'configmaps "one" already exists' in refusal


def test_apply_merges_three_ways(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("three", kept="1", dropped="1"))
    kubectl("patch", "configmap", "three", "-p", '{"data": {"foreign": "1"}}')
    assert "configured" in kubectl.apply(config_map("three", kept="2"))
    assert _data(kubectl, "three") == {"kept": "2", "foreign": "1"}
    assert "unchanged" in kubectl.apply(config_map("three", kept="2"))


def test_server_side_apply_keeps_ownership(kubectl: Kubectl) -> None:
    text = json.dumps(config_map("owned", key="a"))
    kubectl("apply", "--server-side", "--field-manager=first", "-f", "-", stdin=text)
    other = json.dumps(config_map("owned", key="b"))
    refusal = kubectl.fails("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=other)
    assert 'conflict with "first"' in refusal
    kubectl("apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-", stdin=other)
    assert _data(kubectl, "owned") == {"key": "b"}


def test_replace_takes_the_whole_object(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("whole", a="1", b="1"))
    kubectl("replace", "-f", "-", stdin=json.dumps(config_map("whole", a="2")))
    assert _data(kubectl, "whole") == {"a": "2"}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"data": {"b": "2", "a": null}}'),
        ("json", '[{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}]'),
        ("strategic", '{"data": {"b": "2", "a": null}}'),
    ],
)
def test_patch_types(kubectl: Kubectl, kind: str, patch: str) -> None:
    kubectl.apply(config_map("patched", a="1"))
    kubectl("patch", "configmap", "patched", "--type", kind, "-p", patch)
    assert _data(kubectl, "patched") == {"b": "2"}


def test_strategic_patch_merges_lists_by_key(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("app", replicas=0))
    patch = '{"spec": {"template": {"spec": {"containers": [{"name": "main", "tty": true}]}}}}'
    kubectl("patch", "deployment", "app", "-p", patch)
    (container,) = kubectl.get("deployment", "app")["spec"]["template"]["spec"]["containers"]
    assert container["tty"] is True
    assert container["image"] == "example.org/app:1"


def test_edit_sends_what_the_editor_left(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(config_map("edited", colour="blue"))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/colour: blue/colour: red/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    kubectl("edit", "configmap", "edited", EDITOR=str(editor), KUBE_EDITOR=str(editor))
    assert _data(kubectl, "edited") == {"colour": "red"}


def test_diff_shows_what_apply_would_change(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("compared", key="old"))
    text = json.dumps(config_map("compared", key="new"))
    done = kubectl.run(("diff", "-f", "-"), text)
    assert done.returncode == 1, done.stderr
    assert "-  key: old" in done.stdout
    assert "+  key: new" in done.stdout
    assert _data(kubectl, "compared") == {"key": "old"}


def test_dry_run_on_the_server_changes_nothing(kubectl: Kubectl) -> None:
    text = json.dumps(config_map("imagined"))
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
    assert "NotFound" in kubectl.fails("get", "configmap", "imagined")


def test_label_and_annotate(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("marked"))
    kubectl("label", "configmap", "marked", "tier=front")
    kubectl("annotate", "configmap", "marked", "note=yes")
    metadata = kubectl.get("configmap", "marked")["metadata"]
    assert metadata["labels"] == {"tier": "front"}
    assert metadata["annotations"]["note"] == "yes"
    kubectl("label", "configmap", "marked", "tier-")
    assert "labels" not in kubectl.get("configmap", "marked")["metadata"]


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    kubectl.apply(pod("brief"))
    kubectl("wait", "--for=condition=Ready", "pod/brief", "--timeout=30s")
    kubectl("delete", "pod", "brief", "--timeout=30s")
    assert 'pods "brief" not found' in kubectl.fails("get", "pod", "brief")


def test_delete_of_a_namespace_takes_everything_in_it(cluster: Kubectl) -> None:
    cluster("create", "namespace", "short-lived")
    cluster("--namespace", "short-lived", "create", "configmap", "inside")
    cluster("delete", "namespace", "short-lived", "--timeout=60s")
    assert "NotFound" in cluster.fails("get", "namespace", "short-lived")


@pytest.mark.parametrize(
    ("manifest", "parts"),
    [
        (pod("Bad_Name"), ["metadata.name", "Invalid value", "RFC 1123"]),
        (
            pod("twice", containers=[{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]),
            ["spec.containers[1].name", "Duplicate value"],
        ),
        (pod("imageless", containers=[{"name": "a"}]), ["spec.containers[0].image", "Required value"]),
        (
            {**deployment("unmatched"), "spec": {**deployment("x")["spec"]}},
            ["spec.template.metadata.labels", "selector"],
        ),
    ],
)
def test_invalid_manifests_name_the_field(kubectl: Kubectl, manifest: dict, parts: list[str]) -> None:
    if manifest["kind"] == "Deployment":
        manifest["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    refusal = kubectl.fails("create", "-f", "-", stdin=json.dumps(manifest))
    assert "is invalid" in refusal
    for part in parts:
        assert part in refusal


def test_unknown_fields_are_refused_by_name(kubectl: Kubectl) -> None:
    text = json.dumps(pod("strict", nodeNames="sim-1"))
    assert 'unknown field "spec.nodeNames"' in kubectl.fails("create", "-f", "-", stdin=text)
