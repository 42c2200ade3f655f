"""What plug-ins look up besides nodes and pods: a view of the informers' stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from kdist.api import meta
from kdist.api.kinds import Kind
from kdist.api.meta import Obj


class Store(Protocol):
    """The reading half of an informer."""

    def get(self, key: str) -> Obj | None:
        """The object of a key, or None."""

    def list(self, namespace: str | None = None) -> list[Obj]:
        """The objects of a namespace, or all."""


class Listers:
    """Stores by kind."""

    def __init__(self, stores: Mapping[Kind, Store]) -> None:
        self._stores = stores

    def get(self, kind: Kind, name: str, namespace: str = "") -> Obj | None:
        """One object, or None. It belongs to the informer: do not change it."""
        return self._stores[kind].get(f"{namespace}/{name}" if namespace else name)

    def list(self, kind: Kind, namespace: str | None = None) -> Iterable[Obj]:
        """The objects of a kind."""
        return self._stores[kind].list(namespace)

    def namespace_labels(self, name: str, kind: Kind) -> Mapping[str, str]:
        """The labels of a namespace; empty when it is not known."""
        found = self.get(kind, name)
        return meta.labels(found) if found is not None else {}
