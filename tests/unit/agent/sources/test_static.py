import os

import pytest

from kdist.agent.sources import static
from kdist.agent.sources.mirror import is_current, mirror_of
from kdist.agent.sources.statuses import difference
from kdist.api import meta

MANIFEST = b"""
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: kube-system, annotations: {made: 2026-01-01}}
spec:
  hostNetwork: true
  containers: [{name: c, image: registry/web:1, ports: [{containerPort: 80}]}]
"""


class Changes:
    def __init__(self):
        self.seen = []

    def __call__(self, old, new):
        self.seen.append((old and meta.name(old), new and meta.name(new)))


def test_a_manifest_becomes_a_pod_of_this_node():
    pod = static.parse(MANIFEST, "web.yaml", "n1")
    assert (meta.name(pod), meta.namespace(pod)) == ("web-n1", "kube-system")
    assert meta.annotations(pod)["kubernetes.io/config.hash"] == meta.uid(pod)
    assert meta.annotations(pod)["made"] == "2026-01-01"
    (container,) = pod["spec"]["containers"]
    assert (container["imagePullPolicy"], container["ports"][0]["hostPort"]) == ("IfNotPresent", 80)
    assert meta.uid(static.parse(MANIFEST, "web.yaml", "n1")) == meta.uid(pod)
    assert meta.uid(static.parse(MANIFEST, "web.yaml", "n2")) != meta.uid(pod)


@pytest.mark.parametrize(
    "text",
    [
        b"a: [",
        b"",
        b"- 1",
        b"apiVersion: v1\nkind: Service",
        MANIFEST.replace(b"image: registry/web:1,", b""),
    ],
)
def test_a_broken_manifest_says_why(text):
    with pytest.raises(static.ManifestError):
        static.parse(text, "f", "n1")


def test_a_broken_file_leaves_the_others_and_its_own_last_good_version(tmp_path):
    changes = Changes()
    pods = static.StaticPods(tmp_path, "n1", changes)
    (tmp_path / "web.yaml").write_bytes(MANIFEST)
    (tmp_path / "bad.yaml").write_bytes(b"a: [")
    (tmp_path / ".hidden.yaml").write_bytes(MANIFEST)
    pods.scan()
    assert changes.seen == [(None, "web-n1")]
    (tmp_path / "web.yaml").write_bytes(b"a: [")
    pods.scan()
    (tmp_path / "web.yaml").write_bytes(MANIFEST)
    os.utime(tmp_path / "web.yaml", (1, 1))
    pods.scan()
    assert changes.seen == [(None, "web-n1")]
    (tmp_path / "web.yaml").write_bytes(MANIFEST.replace(b"web:1", b"web:22"))
    pods.scan()
    (tmp_path / "web.yaml").unlink()
    pods.scan()
    assert changes.seen[1:] == [("web-n1", "web-n1"), ("web-n1", None)]


def test_a_mirror_pod_is_current_only_for_the_very_static_pod():
    pod = static.parse(MANIFEST, "web.yaml", "n1")
    mirror = mirror_of(pod, {"metadata": {"name": "n1", "uid": "node-uid"}})
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
    assert is_current(mirror, pod)
    changed = static.parse(MANIFEST.replace(b"web:1", b"web:2"), "web.yaml", "n1")
    assert not is_current(mirror, changed)
    assert not is_current(mirror, None)
    mirror["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not is_current(mirror, pod)


DIFFERENCES = {
    "nothing": ({"phase": "Running", "x": None}, {"phase": "Running"}, {}),
    "a changed field": ({"phase": "Pending"}, {"phase": "Running"}, {"phase": "Running"}),
    "a field that went": ({"reason": "r"}, {}, {"reason": None}),
    "one condition of two": (
        {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False", "message": "m"}]},
        {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]},
        {"conditions": [{"type": "B", "status": "True", "message": None}]},
    ),
    "addresses are replaced": (
        {"podIPs": [{"ip": "1"}]},
        {"podIPs": [{"ip": "2"}]},
        {"podIPs": [{"ip": "2"}, {"$patch": "replace"}]},
    ),
}


@pytest.mark.parametrize(("old", "new", "patch"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_status_patch_holds_what_changed_and_no_more(old, new, patch):
    assert difference(old, new) == patch
