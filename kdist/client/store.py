"""An informer's memory: objects by key, with indices that are kept as objects come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kdist.api import meta
from kdist.api.meta import Obj

# The values under which an object is found in an index.
IndexFunc = Callable[[Obj], Iterable[str]]

Objs = list[Obj]

NAMESPACE_INDEX = "namespace"


def by_namespace(obj: Obj) -> Iterable[str]:
    """Index by namespace."""
    return (meta.namespace(obj),)


def by_controller(obj: Obj) -> Iterable[str]:
    """Index by the uid of the controlling owner; objects without one are under the empty string."""
    ref = meta.controller_of(obj)
    return (ref["uid"] if ref else "",)


class Store:
    """Objects by key. What it hands out is shared: copy before changing."""

    def __init__(self) -> None:
        self._objects: dict[str, Obj] = {}
        self._functions: dict[str, IndexFunc] = {}
        self._indices: dict[str, dict[str, dict[str, Obj]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def add_index(self, name: str, function: IndexFunc) -> None:
        """Keep an index from now on; a second one of the same name must mean the same."""
        if name in self._functions:
            return
        self._functions[name], self._indices[name] = function, {}
        for key, obj in self._objects.items():
            self._enter(name, key, obj)

    def get(self, key: str) -> Obj | None:
        """The object of that key, if present."""
        return self._objects.get(key)

    def keys(self) -> set[str]:
        """Every key."""
        return set(self._objects)

    def list(self, namespace: str | None = None) -> Objs:
        """Every object, of one namespace when given."""
        if namespace is None:
            return list(self._objects.values())
        self.add_index(NAMESPACE_INDEX, by_namespace)
        return self.by_index(NAMESPACE_INDEX, namespace)

    def by_index(self, name: str, value: str) -> Objs:
        """The objects under ``value`` in an index that was added before."""
        return list(self._indices[name].get(value, {}).values())

    def put(self, key: str, obj: Obj) -> Obj | None:
        """Enter or replace; returns what was there."""
        old = self._take(key)
        self._objects[key] = obj
        for name in self._functions:
            self._enter(name, key, obj)
        return old

    def remove(self, key: str) -> Obj | None:
        """Take out; returns what was there."""
        return self._take(key)

    def _enter(self, name: str, key: str, obj: Obj) -> None:
        for value in self._functions[name](obj):
            self._indices[name].setdefault(value, {})[key] = obj

    def _take(self, key: str) -> Obj | None:
        old = self._objects.pop(key, None)
        if old is None:
            return None
        for name, function in self._functions.items():
            index = self._indices[name]
            for value in function(old):
                bucket = index.get(value, {})
                bucket.pop(key, None)
                if not bucket:
                    index.pop(value, None)
        return old
