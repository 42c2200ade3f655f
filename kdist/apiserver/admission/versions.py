"""One resource in several groups and versions: what webhooks and policies that match any of them are given."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from kdist.api.kinds import Kind
from kdist.api.scheme import Scheme
from kdist.apiserver import conversion
from kdist.apiserver.admission.base import Request
from kdist.apiserver.ports import Obj


class Equivalents:
    """The same resource in other groups and versions, for any; remembered until the scheme changes."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._known: dict[Kind, tuple[Kind, ...]] = {}
        scheme.on_change(self._known.clear)

    def of(self, kind: Kind) -> tuple[Kind, ...]:
        """All but the kind itself."""
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = tuple(self._find(kind))
        return found

    def _find(self, kind: Kind) -> Iterator[Kind]:
        asked = self._scheme.by_path(kind.group, kind.version, kind.plural)
        if asked is None or not asked.storage_prefix:
            return
        for other in self._scheme:
            if other.storage_prefix == asked.storage_prefix and other is not asked:
                yield Kind(other.group, other.version, other.plural, other.kind, other.namespaced)


def converted(scheme: Scheme, obj: Obj | None, kind: Kind, request: Request) -> Obj | None:
    """An object of the request in the version of ``kind``; a copy unless it is in that version."""
    if obj is None or kind == request.resource or request.subresource not in ("", "status"):
        return obj
    return in_version(scheme, orjson.loads(orjson.dumps(obj)), kind)


def in_version(scheme: Scheme, obj: Obj, kind: Kind) -> Obj:
    """An object in the version of ``kind``; may change its argument."""
    resource = scheme.by_path(kind.group, kind.version, kind.plural)
    return conversion.convert(obj, resource) if resource is not None else obj
