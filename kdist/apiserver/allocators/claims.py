"""The claims of one range: which of its addresses or ports are taken, by whom."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import orjson

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.storage.hub import Hub
from kdist.storage.watchcache import WatchCache

RANGES = "/registry/ranges/"
_TRIES = 64  # random picks before the range is searched one by one
_REFUSED_SECONDS = 1.0  # by then the cache knows


class Full(Exception):
    """Nothing in the range is free."""


class Claims:
    """Taken members of a range of ``size``; ``text`` names the member at an index."""

    def __init__(self, cache: WatchCache, size: int, reserved: int, text: Callable[[int], str]) -> None:
        self._cache = cache
        self._size, self._reserved, self._text = size, reserved, text
        # Refused by storage although the cache did not know them yet, and when.
        self._refused: dict[str, float] = {}

    @classmethod
    async def open(cls, hub: Hub, name: str, size: int, reserved: int, text: Callable[[int], str]) -> Claims:
        """The claims kept under ``name``. The first ``reserved`` members are picked only when all others are gone.

        Raises StorageError.
        """
        cache = await hub.cache(f"{RANGES}{name}/", lambda _: {})
        return cls(cache, size, reserved, text)

    def over(self, size: int, reserved: int, text: Callable[[int], str]) -> Claims:
        """The same claims, of which members of another range are picked."""
        other = Claims(self._cache, size, reserved, text)
        other._refused = self._refused
        return other

    def key(self, member: str) -> str:
        """The storage key of a claim."""
        return self._cache.prefix + member

    def owns(self, key: str) -> bool:
        """Whether a storage key is a claim of this range."""
        return key.startswith(self._cache.prefix)

    def taken(self, member: str) -> bool:
        """Whether the member is claimed, as far as is known here."""
        key = self.key(member)
        return (
            self._cache.get(key) is not None
            or time.monotonic() - self._refused.get(key, 0.0) < _REFUSED_SECONDS
        )

    def refuse(self, key: str) -> None:
        """Storage says that this claim exists."""
        now = time.monotonic()
        for known in [k for k, at in self._refused.items() if now - at >= _REFUSED_SECONDS]:
            del self._refused[known]
        self._refused[key] = now

    def pick(self, besides: set[str]) -> str:
        """A free member that is not in ``besides``. Raises :class:`Full`."""
        for low, high in ((self._reserved, self._size), (0, self._reserved)):
            if (member := self._pick_between(low, high, besides)) is not None:
                return member
        raise Full

    def _pick_between(self, low: int, high: int, besides: set[str]) -> str | None:
        if low >= high:
            return None
        for _ in range(_TRIES):
            member = self._text(random.randrange(low, high))
            if member not in besides and not self.taken(member):
                return member
        start = random.randrange(low, high)
        for at in range(high - low):
            member = self._text(low + (start - low + at) % (high - low))
            if member not in besides and not self.taken(member):
                return member
        return None

    def members(self) -> dict[str, str]:
        """Every claim: member to the ``namespace/name`` that holds it."""
        length = len(self._cache.prefix)
        return {e.key[length:]: _holder(orjson.loads(e.body)) for e in self._cache.entries()}


def claim_value(service: Obj) -> bytes:
    """What a claim of a Service says."""
    ref = {"namespace": meta.namespace(service), "name": meta.name(service), "uid": meta.uid(service)}
    return orjson.dumps(
        {
            "kind": "Claim",
            "apiVersion": "kdist.io/v1",
            "metadata": {"name": meta.name(service)},
            "service": ref,
        }
    )


def _holder(claim: Obj) -> str:
    return f"{claim['service']['namespace']}/{claim['service']['name']}"
