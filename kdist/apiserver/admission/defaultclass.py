"""Claims and ingresses that name no class get the default one."""

from __future__ import annotations

from typing import ClassVar

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


class _DefaultClass(Plugin):
    """Sets the class of a new object that names none; an empty text means that the user wants none."""

    operations = CREATE
    #: Where the class is named, and the annotation that named it once.
    field: ClassVar[str]
    named_before: ClassVar[str]
    #: The classes, and the annotation that marks the default one.
    classes: ClassVar[Kind]
    marked: ClassVar[str]

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: Request) -> None:
        """Fill in the class when there is a default."""
        spec = request.body["spec"]
        if spec.get(self.field) is not None or self.named_before in meta.annotations(request.body):
            return
        found = default_class(self._reader, self.classes, self.marked)
        if found is not None:
            spec[self.field] = meta.name(found)


class DefaultStorageClass(_DefaultClass):
    """Of claims."""

    targets = targets("persistentvolumeclaims")
    field = "storageClassName"
    named_before = "volume.beta.kubernetes.io/storage-class"
    classes = STORAGE_CLASSES
    marked = "storageclass.kubernetes.io/is-default-class"


class DefaultIngressClass(_DefaultClass):
    """Of ingresses."""

    targets = targets("ingresses", group="networking.k8s.io")
    field = "ingressClassName"
    named_before = "kubernetes.io/ingress.class"
    classes = INGRESS_CLASSES
    marked = "ingressclass.kubernetes.io/is-default-class"
