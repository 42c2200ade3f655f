"""What goes into the files of configMap, secret and downwardAPI volumes."""

from __future__ import annotations

import pytest

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import payload
from kdist.agent.volumes.atomic import File
from kdist.agent.volumes.payload import Source

SOURCE = Source("configmap", "web", "config")
POD = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
        "labels": {"b": "2", "a": 'x"y\n'},
        "annotations": {"k": "ü"},
    },
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}}}]},
}


def test_every_key_is_a_file_without_items() -> None:
    assert payload.keyed(SOURCE, {"a": b"1"}, {}, 0o400) == {"a": File(b"1", 0o400)}


def test_items_pick_keys_paths_and_modes() -> None:
    spec = {"items": [{"key": "a", "path": "d/x", "mode": 0o640}]}
    assert payload.keyed(SOURCE, {"a": b"1", "b": b"2"}, spec, None) == {"d/x": File(b"1", 0o640)}


def test_missing_object_and_key_are_named() -> None:
    with pytest.raises(VolumeError, match=r'configmap "web" \(volume "config"\) not found'):
        payload.keyed(SOURCE, None, {}, None)
    with pytest.raises(VolumeError, match="has no key 'z'"):
        payload.keyed(SOURCE, {}, {"items": [{"key": "z", "path": "z"}]}, None)


def test_optional_tolerates_both() -> None:
    assert payload.keyed(SOURCE, None, {"optional": True}, None) == {}
    spec = {"optional": True, "items": [{"key": "z", "path": "z"}]}
    assert payload.keyed(SOURCE, {}, spec, None) == {}


@pytest.mark.parametrize("path", ["/abs", "../up", "a/../../b", "..data", ""])
def test_paths_that_leave_the_volume_are_refused(path: str) -> None:
    with pytest.raises(VolumeError):
        payload.checked(path, "v")


def test_labels_are_quoted_lines_in_order() -> None:
    assert payload.field_text(POD, "metadata.labels") == 'a="x\\"y\\n"\nb="2"'
    assert payload.field_text(POD, "metadata.annotations") == 'k="ü"'


def test_downward_values_of_fields_and_resources() -> None:
    spec = {
        "items": [
            {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
            {"path": "mem", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory"}},
        ]
    }
    files = payload.downward("v", POD, spec, None, {"memory": 1024})
    assert {p: f.content for p, f in files.items()} == {"uid": b"u1", "cpu": b"2", "mem": b"1024"}


def test_unknown_field_names_volume_and_path() -> None:
    spec = {"items": [{"path": "f", "fieldRef": {"fieldPath": "spec.nodeName"}}]}
    with pytest.raises(VolumeError, match=r"spec.nodeName.*volume.*path"):
        payload.downward("v", POD, spec, None, {})
