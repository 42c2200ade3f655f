"""The state of one evaluation: values of variables by place, and what it has cost."""

from __future__ import annotations

from typing import Any, Final

from kdist.apiserver.cel.errors import CostExceeded

MISSING: Final = object()
_COPIED_PER_COST = 64  # elements that may be copied for a unit


class Run:
    """``cost`` is counted as upstream counts; ``work`` is what costs nothing there but takes time here."""

    __slots__ = ("cost", "limit", "slots", "work")

    def __init__(self, slots: list[Any], limit: int) -> None:
        self.slots = slots
        self.limit = limit
        self.cost = 0
        self.work = 0

    def charge(self, cost: int) -> None:
        """Count a cost. CostExceeded."""
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded

    def copied(self, elements: int) -> None:
        """Count elements that were copied or compared. CostExceeded."""
        self.work += elements
        if self.work > self.limit * _COPIED_PER_COST:
            raise CostExceeded
