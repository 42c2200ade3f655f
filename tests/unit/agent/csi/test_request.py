"""What drivers are told of a volume."""

from __future__ import annotations

import pytest

from kdist.agent.csi import csi_node_pb2 as pb
from kdist.agent.csi import request

MULTI = pb.NodeCapability.SINGLE_NODE_MULTI_WRITER
POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"serviceAccountName": "sa"}}


@pytest.mark.parametrize(
    ("modes", "old", "new"),
    [
        (["ReadWriteOnce"], "SINGLE_NODE_WRITER", "SINGLE_NODE_MULTI_WRITER"),
        (["ReadWriteOncePod"], "SINGLE_NODE_WRITER", "SINGLE_NODE_SINGLE_WRITER"),
        (["ReadOnlyMany"], "MULTI_NODE_READER_ONLY", "MULTI_NODE_READER_ONLY"),
        (["ReadWriteOnce", "ReadOnlyMany"], "MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_SINGLE_WRITER"),
        (["ReadWriteMany"], "MULTI_NODE_MULTI_WRITER", "MULTI_NODE_MULTI_WRITER"),
    ],
)
def test_access_modes(modes: list[str], old: str, new: str) -> None:
    name = pb.VolumeCapability.AccessMode.Name
    assert name(request.access_mode(modes, single_node_multi_writer=False)) == old
    assert name(request.access_mode(modes, single_node_multi_writer=True)) == new


def test_inline_volume_is_the_pods_own() -> None:
    source = {"driver": "d", "nodePublishSecretRef": {"name": "s"}, "volumeAttributes": {"a": "b"}}
    volume = request.from_inline(POD, {"name": "v", "csi": source})
    assert volume.inline
    assert volume.handle.startswith("csi-")
    assert volume.publish_secret == {"namespace": "ns", "name": "s"}
    other = request.from_inline({"metadata": {"uid": "other"}}, {"name": "v", "csi": source})
    assert other.handle != volume.handle
    assert request.pod_info(POD, inline=True)["csi.storage.k8s.io/ephemeral"] == "true"


def test_block_and_file_systems_are_told_apart() -> None:
    pv = {
        "metadata": {"name": "pv"},
        "spec": {
            "csi": {"driver": "d", "volumeHandle": "h", "fsType": "ext4"},
            "accessModes": ["ReadWriteOnce"],
            "mountOptions": ["noatime"],
        },
    }
    capability = request.capability(request.from_volume(pv, False), frozenset(), 2000)
    assert capability.WhichOneof("access_type") == "mount"
    assert (capability.mount.fs_type, list(capability.mount.mount_flags)) == ("ext4", ["noatime"])
    assert capability.mount.volume_mount_group == "2000"
    pv["spec"]["volumeMode"] = "Block"
    block = request.capability(request.from_volume(pv, False), frozenset({MULTI}))
    assert block.WhichOneof("access_type") == "block"
