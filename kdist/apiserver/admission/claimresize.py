"""Claims grow only where the storage class can."""

from __future__ import annotations

from kdist.api import meta, quantity
from kdist.api.kinds import STORAGE_CLASSES
from kdist.apiserver.admission.base import UPDATE, Plugin, Request, targets
from kdist.apiserver.ports import Obj, Reader

_REFUSAL = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
    "must support resize"
)


class PersistentVolumeClaimResize(Plugin):
    """Refuses growth of claims whose class does not allow expansion."""

    targets = targets("persistentvolumeclaims")
    operations = UPDATE

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: Request) -> None:
        """Refuse, or let pass."""
        old, new = request.before, request.body
        if _size(new) <= _size(old):
            return
        if meta.get(old, "status.phase") != "Bound":
            raise request.forbidden("Only bound persistent volume claims can be expanded")
        name = meta.get(new, "spec.storageClassName", "")
        storage_class = self._reader.get(STORAGE_CLASSES, None, name) if name else None
        if storage_class is None or not storage_class.get("allowVolumeExpansion"):
            raise request.forbidden(_REFUSAL)


def _size(claim: Obj) -> int:
    return quantity.value(meta.get(claim, "spec.resources.requests.storage", "0"))
