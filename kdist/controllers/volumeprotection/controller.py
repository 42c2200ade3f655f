"""Takes the protection finalizers off claims that no pod uses and off volumes that are not bound.

Admission adds the finalizers when an object is created; here they are only taken away, once deletion was asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.api import meta, pods
from kdist.api.errors import NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, Kind
from kdist.api.meta import Obj
from kdist.controllers.base import Controller

PVC_PROTECTION = "kubernetes.io/pvc-protection"
PV_PROTECTION = "kubernetes.io/pv-protection"
_BY_CLAIM = "claim"


def claims_of(pod: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the claims a pod uses, generic ephemeral ones included."""
    for volume in meta.get(pod, "spec.volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield f"{meta.namespace(pod)}/{claim['claimName']}"
        elif volume.get("ephemeral"):
            yield f"{meta.namespace(pod)}/{meta.name(pod)}-{volume['name']}"


class _Protection(Controller):
    """What both have in common: drop one finalizer from an object that is being deleted."""

    kind: Kind
    finalizer: str

    def is_used(self, obj: Obj) -> bool:
        """Whether the object must stay."""
        raise NotImplementedError

    async def is_used_after_all(self, obj: Obj) -> bool:
        """A second look, at the server instead of the cache, before protection ends."""
        return False

    async def release(self, obj: Obj | None) -> None:
        """Drop the finalizer when deletion was asked and nobody uses the object."""
        if obj is None or not meta.is_deleting(obj) or self.is_used(obj):
            return
        finalizers = obj["metadata"].get("finalizers") or []
        if self.finalizer not in finalizers or await self.is_used_after_all(obj):
            return
        kept = [f for f in finalizers if f != self.finalizer]
        try:
            await self.client.update(self.kind, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}})
        except NotFound:
            return  # gone already, which is the aim


class ClaimProtectionController(_Protection):
    """One key is one claim."""

    name = "persistentvolumeclaim-protection-controller"
    component = "pvc-protection-controller"
    kind = PERSISTENT_VOLUME_CLAIMS
    finalizer = PVC_PROTECTION

    def setup(self) -> None:
        """Watch claims, and pods by the claims they use."""
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS, self.enqueue)
        self._pods = self.watch(PODS, self._pod_changed, indexers={_BY_CLAIM: claims_of})

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for claim in claims_of(new or old or {}):
            self.queue.add(claim)

    def is_used(self, obj: Obj) -> bool:
        """A pod on a node that has not finished uses its claims."""
        return any(map(_keeps_claims, self._pods.by_index(_BY_CLAIM, meta.key(obj))))

    async def is_used_after_all(self, obj: Obj) -> bool:
        """A pod may have been bound to a node a moment ago."""
        found = await self.client.list(PODS, meta.namespace(obj))
        return any(meta.key(obj) in claims_of(pod) and _keeps_claims(pod) for pod in found.items)

    async def reconcile(self, key: str) -> float | None:
        """Release one claim."""
        await self.release(self._claims.get(key))
        return None


def _keeps_claims(pod: Obj) -> bool:
    return bool(meta.get(pod, "spec.nodeName")) and not pods.is_terminal(pod)


class VolumeProtectionController(_Protection):
    """One key is one volume."""

    name = "persistentvolume-protection-controller"
    component = "pv-protection-controller"
    kind = PERSISTENT_VOLUMES
    finalizer = PV_PROTECTION

    def setup(self) -> None:
        """Watch volumes."""
        self._volumes = self.watch(PERSISTENT_VOLUMES, self.enqueue)

    def is_used(self, obj: Obj) -> bool:
        """A bound volume is in use."""
        return bool(meta.get(obj, "status.phase") == "Bound")

    async def reconcile(self, key: str) -> float | None:
        """Release one volume."""
        await self.release(self._volumes.get(key))
        return None
