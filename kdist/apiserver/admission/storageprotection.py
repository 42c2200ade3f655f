"""Volumes and claims in use are not removed: a finalizer holds them until their controller lets go."""

from __future__ import annotations

from kdist.apiserver.admission.base import CREATE, Plugin, Request, targets

_FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
}


class StorageObjectInUseProtection(Plugin):
    """Puts the protection finalizer on new volumes and claims."""

    targets = targets(*_FINALIZERS)
    operations = CREATE

    async def admit(self, request: Request) -> None:
        """Add the finalizer, once."""
        metadata = request.body["metadata"]
        finalizer = _FINALIZERS[request.resource.plural]
        present = metadata.get("finalizers") or []
        if finalizer not in present:
            metadata["finalizers"] = [*present, finalizer]
