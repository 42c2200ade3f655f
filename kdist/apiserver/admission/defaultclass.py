"""Claims and ingresses that name no class get the default one."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.kinds import STORAGE_CLASSES, Kind
from kdist.apiserver.admission.base import CREATE, Plugin, Request, targets
from kdist.apiserver.ports import Obj, Reader

INGRESS_CLASSES = Kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False)


def default_class(reader: Reader, kind: Kind, annotation: str) -> Obj | None:
    """The class marked as default; of several the newest, then the first by name."""
    marked = [c for c in reader.list(kind) if meta.annotations(c).get(annotation) == "true"]
    marked.sort(key=meta.name)
    return max(marked, key=lambda c: str(c["metadata"].get("creationTimestamp", "")), default=None)


class DefaultStorageClass(Plugin):
    """Sets the class of a new claim; an empty string means that the user wants none."""

    targets = targets("persistentvolumeclaims")
    operations = CREATE

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: Request) -> None:
        """Fill in the class when there is a default."""
        claim = request.body
        spec = claim["spec"]
        named_before = "volume.beta.kubernetes.io/storage-class" in meta.annotations(claim)
        if spec.get("storageClassName") is not None or named_before:
            return
        found = default_class(self._reader, STORAGE_CLASSES, "storageclass.kubernetes.io/is-default-class")
        if found is not None:
            spec["storageClassName"] = meta.name(found)


class DefaultIngressClass(Plugin):
    """Sets the class of a new ingress. Forbidden when several are marked as default."""

    targets = targets("ingresses", group="networking.k8s.io")
    operations = CREATE

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: Request) -> None:
        """Fill in the class when there is a default."""
        ingress = request.body
        spec = ingress["spec"]
        named_before = "kubernetes.io/ingress.class" in meta.annotations(ingress)
        if spec.get("ingressClassName") is not None or named_before:
            return
        found = default_class(self._reader, INGRESS_CLASSES, "ingressclass.kubernetes.io/is-default-class")
        if found is not None:
            spec["ingressClassName"] = meta.name(found)
