"""Ranges of sizes and costs: from least to most. The most is bounded by what 64 bits hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Range:
    """From ``least`` to ``most``, both included."""

    least: int
    most: int

    def __add__(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: Range) -> Range:
        """The product."""
        return Range(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def scaled(self, factor: float) -> Range:
        """The product with a factor, rounded up."""
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        """The least range that has both."""
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(value: int, factor: float) -> int:
    made = math.ceil(float(value) * factor)
    return min(made, MOST)


def exactly(value: int) -> Range:
    """A range of one."""
    return Range(value, value)


ZERO, ONE = exactly(0), exactly(1)
ANY_SIZE = Range(0, MOST)
