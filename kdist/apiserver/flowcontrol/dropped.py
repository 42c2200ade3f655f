"""When to come back after a rejection: the longer a level stays overloaded, the later."""

from __future__ import annotations

LONGEST = 32  # seconds


class Dropped:
    """The rejections of one level, by second."""

    def __init__(self) -> None:
        self.retry_after = 1
        self._history: list[tuple[int, int]] = []  # (second, rejections)
        self._second = self._count = self._changed = 0

    def record(self, now: float) -> int:
        """Count a rejection; the seconds to wait that the client is told."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return self.retry_after
        self._history.append((self._second, self._count))
        kept = min(LONGEST, 2 * self.retry_after)
        self._history = [entry for entry in self._history if second - entry[0] <= kept]
        self._second, self._count = second, 1
        self._adjust(second)
        return self.retry_after

    def _adjust(self, second: int) -> None:
        """Doubles while three are rejected per second of waiting, shrinks when it has become quiet."""
        recent = sum(count for at, count in self._history if second - at <= self.retry_after)
        if second - self._changed >= self.retry_after and recent >= 3 * self.retry_after:
            self.retry_after = min(LONGEST, self.retry_after * 2)
            self._changed = second
        elif recent < self.retry_after > 1:
            self.retry_after -= 1
