"""How many seats a request takes. The figures are upstream's: one per 100 objects looked at, at most 10.

A list works on every object of its resource, in pages and selections too. A write is paid for by those who watch:
from ten watchers on its seats stay taken for 5 ms of one seat per ten watchers after the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kdist.apiserver.flowcontrol.queueset import ONE_SEAT, Estimate
from kdist.apiserver.request import Request

OBJECTS_PER_SEAT = 100
WATCHERS_PER_SEAT = 10
EVENT_SECONDS = 0.005
MAX_SEATS = 10
_WRITES = frozenset({"create", "update", "patch", "delete"})

# (group, plural) -> how many objects there are; None: not known here
Counts = Callable[[str, str], int | None]


class Watches:
    """Who watches what, for the price of writes."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], dict[tuple[str, str], int]] = {}

    def opened(self, request: Request) -> Callable[[], None]:
        """Count a watch; the result forgets it."""
        info = request.info
        if info.plural == "pods" and "spec.nodeName=" in request.param("fieldSelector"):
            return _nothing  # a node sees its own pods only: a write concerns one of them all
        resource, scope = (info.group, info.plural), (info.namespace, info.name)
        counts = self._open.setdefault(resource, {})
        counts[scope] = counts.get(scope, 0) + 1

        def forget() -> None:
            counts[scope] -= 1
            if not counts[scope]:
                del counts[scope]
            if not counts and self._open.get(resource) is counts:
                del self._open[resource]

        return forget

    def interested(self, group: str, plural: str, namespace: str, name: str) -> int:
        """How many watches see a write of this object."""
        counts = self._open.get((group, plural))
        if counts is None:
            return 0
        scopes = {("", ""), (namespace, ""), (namespace, name)}
        return sum(counts.get(scope, 0) for scope in scopes)


def _nothing() -> None:
    pass


class Estimator:
    """The price of a request."""

    def __init__(self, counts: Counts, watches: Watches) -> None:
        self._counts, self._watches = counts, watches

    def estimate(self, request: Request, most: int) -> Estimate:
        """Seats of a request in a level whose requests take at most ``most`` (0: no limit of its own)."""
        info = request.info
        verb = info.verb
        if verb == "get" or not info.is_resource:
            return ONE_SEAT
        most = min(most, MAX_SEATS) if most else MAX_SEATS
        if verb == "list" or (verb == "watch" and request.flag("sendInitialEvents")):
            return self._list(request, most)
        if verb in _WRITES:
            return self._write(request, most)
        return ONE_SEAT

    def _list(self, request: Request, most: int) -> Estimate:
        info = request.info
        if info.name:
            return ONE_SEAT
        stored = self._counts(info.group, info.plural)
        if stored is None:
            return ONE_SEAT
        looked_at = stored
        if info.verb == "list" and _from_storage(request):
            limit = min(_limit(request) or stored, stored)
            selects = "fieldSelector" in request.query or "labelSelector" in request.query
            looked_at = stored + limit if selects else 2 * limit
        return Estimate(max(1, min(most, math.ceil(looked_at / OBJECTS_PER_SEAT))))

    def _write(self, request: Request, most: int) -> Estimate:
        info = request.info
        watchers = self._watches.interested(info.group, info.plural, info.namespace, info.name)
        if watchers < WATCHERS_PER_SEAT or (info.plural, info.subresource) == ("serviceaccounts", "token"):
            return ONE_SEAT
        wide = math.ceil(watchers / WATCHERS_PER_SEAT)
        final = min(wide, most)
        return Estimate(1, final, wide * EVENT_SECONDS / final)


def _from_storage(request: Request) -> bool:
    """Whether the list cannot be served from the cache: it asks for an exact state of the past."""
    version, match = request.param("resourceVersion"), request.param("resourceVersionMatch")
    if request.param("continue"):
        return True
    legacy = not match and version not in ("", "0") and bool(_limit(request))
    return match == "Exact" or legacy


def _limit(request: Request) -> int:
    text = request.param("limit")
    return int(text) if text.isdigit() else 0
