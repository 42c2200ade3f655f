"""How many seats a level's requests would like to have: average, spread and peak between two adjustments."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMOOTHING = 0.977  # of the envelope, per adjustment: a peak is forgotten by half in about five minutes


@dataclass(frozen=True, slots=True)
class Observed:
    """One period's demand."""

    average: float = 0.0
    deviation: float = 0.0
    highest: int = 0

    @property
    def envelope(self) -> float:
        """Where demand is most of the time."""
        return self.average + self.deviation


class Demand:
    """Integrates demand over time; the queue set calls it whenever the clock has advanced."""

    __slots__ = ("_area", "_seconds", "_squares", "highest")

    def __init__(self, now: float) -> None:
        self._seconds = self._area = self._squares = 0.0
        self.highest = 0

    def integrate(self, seats: int, seconds: float) -> None:
        """Demand was ``seats`` for that long."""
        self._seconds += seconds
        area = seats * seconds
        self._area += area
        self._squares += seats * area

    def reset(self, current: int) -> Observed:
        """What was observed since the last reset; ``current`` demand begins the next period."""
        seconds, area, squares, highest = self._seconds, self._area, self._squares, self.highest
        self._seconds = self._area = self._squares = 0.0
        self.highest = current
        if seconds <= 0:
            return Observed(float(current), 0.0, highest)
        average = area / seconds
        deviation = math.sqrt(max(0.0, squares / seconds - average * average))
        return Observed(average, deviation, highest)


def smoothed(before: float, envelope: float) -> float:
    """Rises at once, falls slowly."""
    return max(envelope, SMOOTHING * before + (1 - SMOOTHING) * envelope)
