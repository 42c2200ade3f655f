"""What a CSI call says of a volume: handle, access, attributes, pod information. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdist.agent.csi import csi_node_pb2 as pb
from kdist.api import meta
from kdist.api.meta import Obj

_PREFIX = "csi.storage.k8s.io"


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """One CSI volume of a pod: from a PersistentVolume, or written inline in the pod.

    ``name`` is the PersistentVolume's, or the pod volume's when inline. Secret references have ``name`` and
    ``namespace``.
    """

    driver: str
    handle: str
    name: str
    inline: bool = False
    fs_type: str = ""
    read_only: bool = False
    block: bool = False
    access_modes: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    stage_secret: Mapping[str, str] | None = None
    publish_secret: Mapping[str, str] | None = None


def from_volume(pv: Obj, read_only: bool) -> CsiVolume:
    """The CSI volume that a PersistentVolume describes; ``read_only`` is the claim reference's wish."""
    spec = pv["spec"]
    source = spec["csi"]
    return CsiVolume(
        driver=source["driver"],
        handle=source["volumeHandle"],
        name=meta.name(pv),
        fs_type=source.get("fsType") or "",
        read_only=read_only or bool(source.get("readOnly")),
        block=spec.get("volumeMode") == "Block",
        access_modes=tuple(spec.get("accessModes") or ()),
        mount_options=tuple(spec.get("mountOptions") or ()),
        attributes=source.get("volumeAttributes") or {},
        stage_secret=source.get("nodeStageSecretRef"),
        publish_secret=source.get("nodePublishSecretRef"),
    )


def from_inline(pod: Obj, volume: Obj) -> CsiVolume:
    """The CSI volume that is written in a pod's ``spec.volumes``; it lives and dies with the pod."""
    source = volume["csi"]
    secret = source.get("nodePublishSecretRef")
    digest = hashlib.sha256((meta.uid(pod) + volume["name"]).encode()).hexdigest()
    return CsiVolume(
        driver=source["driver"],
        handle=f"csi-{digest}",
        name=volume["name"],
        inline=True,
        fs_type=source.get("fsType") or "",
        read_only=bool(source.get("readOnly")),
        attributes=source.get("volumeAttributes") or {},
        publish_secret=None if secret is None else {"namespace": meta.namespace(pod), **secret},
    )


def attachment_name(volume: CsiVolume, node: str) -> str:
    """The name of the VolumeAttachment, by upstream's convention."""
    text = volume.handle + volume.driver + node
    return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"


def access_mode(modes: Iterable[str], *, single_node_multi_writer: bool) -> pb.VolumeCapability.AccessMode:
    """The CSI access mode for Kubernetes' access modes; the widest wins.

    ReadWriteOnce maps to SINGLE_NODE_MULTI_WRITER only for drivers that tell the two kinds of
    "once" apart; older drivers know SINGLE_NODE_WRITER.
    """
    asked = set(modes)
    if "ReadWriteMany" in asked:
        return pb.VolumeCapability.MULTI_NODE_MULTI_WRITER
    if "ReadOnlyMany" in asked and "ReadWriteOnce" in asked:
        return pb.VolumeCapability.MULTI_NODE_SINGLE_WRITER
    if "ReadOnlyMany" in asked:
        return pb.VolumeCapability.MULTI_NODE_READER_ONLY
    if "ReadWriteOncePod" in asked and single_node_multi_writer:
        return pb.VolumeCapability.SINGLE_NODE_SINGLE_WRITER
    if single_node_multi_writer:
        return pb.VolumeCapability.SINGLE_NODE_MULTI_WRITER
    return pb.VolumeCapability.SINGLE_NODE_WRITER


def capability(
    volume: CsiVolume, features: frozenset[int], mount_group: int | None = None
) -> pb.VolumeCapability:
    """How the pod wants to use the volume. ``mount_group``: the driver sets the group itself."""
    multi = pb.NodeCapability.SINGLE_NODE_MULTI_WRITER in features
    mode = access_mode(volume.access_modes, single_node_multi_writer=multi)
    access = pb.VolumeCapability.Access(mode=mode)
    if volume.block:
        return pb.VolumeCapability(block=pb.VolumeCapability.Block(), access_mode=access)
    mount = pb.VolumeCapability.Mount(
        fs_type=volume.fs_type,
        mount_flags=volume.mount_options,
        volume_mount_group="" if mount_group is None else str(mount_group),
    )
    return pb.VolumeCapability(mount=mount, access_mode=access)


def pod_info(pod: Obj, inline: bool) -> dict[str, str]:
    """What a driver with podInfoOnMount learns of the pod."""
    return {
        f"{_PREFIX}/pod.name": meta.name(pod),
        f"{_PREFIX}/pod.namespace": meta.namespace(pod),
        f"{_PREFIX}/pod.uid": meta.uid(pod),
        f"{_PREFIX}/serviceAccount.name": (pod.get("spec") or {}).get("serviceAccountName") or "",
        f"{_PREFIX}/ephemeral": "true" if inline else "false",
    }


def token_context(tokens: Mapping[str, Obj]) -> dict[str, str]:
    """Service-account tokens by audience, as a driver with tokenRequests gets them."""
    return {f"{_PREFIX}/serviceAccount.tokens": json.dumps(tokens)} if tokens else {}


def record(volume: CsiVolume, node: str, *, staged: bool) -> dict[str, Any]:
    """What has to be known to take the volume down again, kept in a file beside it."""
    return {
        "specVolID": volume.name,
        "volumeHandle": volume.handle,
        "driverName": volume.driver,
        "nodeName": node,
        "attachmentID": attachment_name(volume, node),
        "volumeLifecycleMode": "Ephemeral" if volume.inline else "Persistent",
        "staged": staged,
    }
