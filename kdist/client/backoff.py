"""Waiting longer after every failure, with jitter so that clients do not come back all at once."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Seconds to wait: doubled after each failure up to ``longest``, plus up to half of it by chance."""

    first: float = 0.5
    longest: float = 30.0
    _failures: int = 0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def next(self) -> float:
        """Count one more failure and tell how long to wait."""
        wait = min(self.longest, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return wait * (1 + random.random() / 2)

    def reset(self) -> None:
        """It worked."""
        self._failures = 0
