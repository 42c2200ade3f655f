"""What each node has a reason to read: the objects its pods refer to.

Edges come from the pod cache (node to secrets, config maps, claims, service accounts), from the claims
(claim to volume), from the volumes (volume to CSI secrets) and from the volume attachments (to their node).
"""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTACHMENTS
from kdist.apiserver.ports import Obj, Reader

# (resource, namespace or "", name)
Ref = tuple[str, str, str]
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "nodePublishSecretRef",
    "nodeStageSecretRef",
    "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)


class NodeGraph:
    """Kept up to date by the watch caches; answers in constant time."""

    def __init__(self, reader: Reader) -> None:
        self._pods: dict[Ref, tuple[str, frozenset[Ref]]] = {}
        self._nodes: dict[Ref, dict[str, int]] = {}
        # Who leads to a volume, and who leads to a volume's secret.
        self._claim_of: dict[str, Ref] = {}
        self._volume_of_claim: dict[Ref, str] = {}
        self._volumes_of_secret: dict[Ref, set[str]] = {}
        self._secrets_of_volume: dict[str, set[Ref]] = {}
        self._attachments: dict[str, str] = {}
        reader.on_change(PODS, self._pod_changed)
        reader.on_change(PERSISTENT_VOLUME_CLAIMS, self._claim_changed)
        reader.on_change(PERSISTENT_VOLUMES, self._volume_changed)
        reader.on_change(VOLUME_ATTACHMENTS, self._attachment_changed)

    def reaches(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether anything on the node leads to the object."""
        if resource == "volumeattachments":
            return self._attachments.get(name) == node
        if resource == "persistentvolumes":
            return self._reaches_volume(node, name)
        ref = (resource, namespace, name)
        if node in self._nodes.get(ref, ()):
            return True
        volumes = self._volumes_of_secret.get(ref, ()) if resource == "secrets" else ()
        return any(self._reaches_volume(node, volume) for volume in volumes)

    def has_pod(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod is bound to the node."""
        return self._pods.get(("pods", namespace, name), ("", None))[0] == node

    def _reaches_volume(self, node: str, volume: str) -> bool:
        claim = self._claim_of.get(volume)
        return claim is not None and node in self._nodes.get(claim, ())

    def _pod_changed(self, namespace: str, name: str, pod: Obj | None) -> None:
        key = ("pods", namespace, name)
        node = meta.get(pod, "spec.nodeName", "") if pod is not None else ""
        # Only a pod's own references count once it is bound, and those never change afterwards.
        if node and key in self._pods and self._pods[key][0] == node:
            return
        old_node, old_refs = self._pods.pop(key, ("", frozenset()))
        for ref in old_refs:
            self._drop(ref, old_node)
        if pod is None or not node:
            return
        refs = frozenset(pod_references(pod))
        self._pods[key] = (node, refs)
        for ref in refs:
            counts = self._nodes.setdefault(ref, {})
            counts[node] = counts.get(node, 0) + 1

    def _drop(self, ref: Ref, node: str) -> None:
        counts = self._nodes[ref]
        counts[node] -= 1
        if not counts[node]:
            del counts[node]
        if not counts:
            del self._nodes[ref]

    def _claim_changed(self, namespace: str, name: str, claim: Obj | None) -> None:
        key = ("persistentvolumeclaims", namespace, name)
        old = self._volume_of_claim.pop(key, "")
        if old and self._claim_of.get(old) == key:
            del self._claim_of[old]
        volume = meta.get(claim, "spec.volumeName", "") if claim is not None else ""
        if volume:
            self._volume_of_claim[key] = volume
            self._claim_of[volume] = key

    def _volume_changed(self, _: str, name: str, volume: Obj | None) -> None:
        for ref in self._secrets_of_volume.pop(name, ()):
            self._volumes_of_secret[ref].discard(name)
        source = meta.get(volume, "spec.csi", {}) if volume is not None else {}
        secrets = {
            ("secrets", ref.get("namespace", ""), ref.get("name", ""))
            for ref in (source.get(field) for field in _CSI_SECRETS)
            if ref
        }
        if secrets:
            self._secrets_of_volume[name] = secrets
        for ref in secrets:
            self._volumes_of_secret.setdefault(ref, set()).add(name)

    def _attachment_changed(self, _: str, name: str, attachment: Obj | None) -> None:
        if attachment is None:
            self._attachments.pop(name, None)
        else:
            self._attachments[name] = meta.get(attachment, "spec.nodeName", "")


def pod_references(pod: Obj) -> Iterator[Ref]:
    """Everything a pod makes its node read."""
    spec, namespace = pod.get("spec") or {}, meta.namespace(pod)
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for ref in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, ref.get("name", "")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _container_references(container, namespace)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(volume, namespace, meta.name(pod))


def _container_references(container: Obj, namespace: str) -> Iterator[Ref]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if source.get("secretKeyRef"):
            yield "secrets", namespace, source["secretKeyRef"].get("name", "")
        if source.get("configMapKeyRef"):
            yield "configmaps", namespace, source["configMapKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "secrets", namespace, source["secretRef"].get("name", "")
        if source.get("configMapRef"):
            yield "configmaps", namespace, source["configMapRef"].get("name", "")


def _volume_references(volume: Obj, namespace: str, pod: str) -> Iterator[Ref]:
    if volume.get("secret"):
        yield "secrets", namespace, volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmaps", namespace, volume["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", namespace, f"{pod}-{volume.get('name', '')}"
    secret = meta.get(volume, "csi.nodePublishSecretRef.name")
    if secret:
        yield "secrets", namespace, secret
    for source in meta.get(volume, "projected.sources", ()):
        if source.get("secret"):
            yield "secrets", namespace, source["secret"].get("name", "")
        if source.get("configMap"):
            yield "configmaps", namespace, source["configMap"].get("name", "")
