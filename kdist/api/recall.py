"""What was found out about a value, kept by its content: for values that are mostly copies of each other.

Nearly every pod is made from a template, so its spec has been seen before. To recognize one costs 5 µs, to judge
and to walk it costs 150. What is kept must depend on the value alone and must not be changed by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")
LIMIT = 1024  # values; about as many templates as are in use at a time


class Recall(Generic[T]):
    """Answers by value."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[tuple[Hashable, bytes], T] = {}

    def of(self, value: Any, compute: Callable[[], T], *, about: Hashable = None) -> T:
        """What ``compute`` said when the same JSON value was asked ``about`` first."""
        key = (about, blake2b(orjson.dumps(value), digest_size=16).digest())
        try:
            return self._known[key]
        except KeyError:
            answer = compute()
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = answer
        return answer
