"""Exponential back-off by key, with the clock given by the caller: restarts, image pulls. Pure state."""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
MAXIMUM = 300.0


@dataclass(slots=True)
class _Entry:
    delay: float
    since: float


class BackOff:
    """Delays that double from 10 s to 5 min and are forgotten after twice the longest without trouble."""

    def __init__(self, initial: float = INITIAL, maximum: float = MAXIMUM) -> None:
        self._initial, self._maximum = initial, maximum
        self._entries: dict[tuple[str, ...], _Entry] = {}

    def remaining(self, key: tuple[str, ...], since: float, now: float) -> float:
        """Seconds left before the next try, counted from ``since``: when the last one ended."""
        entry = self._entries.get(key)
        if entry is None or since - entry.since > 2 * self._maximum:
            return 0.0
        return max(0.0, since + entry.delay - now)

    def delay(self, key: tuple[str, ...]) -> float:
        """The whole delay that is in force for the key."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def advance(self, key: tuple[str, ...], now: float) -> None:
        """Note one more try: the delay after it is twice the last one."""
        entry = self._entries.get(key)
        if entry is None or now - entry.since > 2 * self._maximum:
            self._entries[key] = _Entry(self._initial, now)
        else:
            self._entries[key] = _Entry(min(entry.delay * 2, self._maximum), now)

    def last(self, key: tuple[str, ...]) -> float:
        """When :meth:`advance` was last called; 0 for never."""
        entry = self._entries.get(key)
        return entry.since if entry else 0.0

    def forget(self, first: str) -> None:
        """Drop every key that begins with ``first``."""
        for key in [k for k in self._entries if k[0] == first]:
            del self._entries[key]
