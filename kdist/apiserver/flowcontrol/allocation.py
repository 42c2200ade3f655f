"""How priority levels share the server's seats: nominal limits by shares, current ones by demand.

Every level has a nominal limit, proportional to its shares. It may lend a part of it and borrow from others; what
it holds at the moment lies between its lower and its upper limit and follows its demand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LEAST_TARGET = 0.001  # a level without demand still counts a little, so that nothing is divided by zero


@dataclass(frozen=True, slots=True)
class Shares:
    """What a PriorityLevelConfiguration says about concurrency. ``borrowing`` None: as much as there is."""

    nominal: int
    lendable: int = 0  # percent of the nominal limit
    borrowing: int | None = None  # percent of the nominal limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Seats of one level."""

    nominal: int
    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One level in the division of seats: ``wanted`` is its smoothed demand, ``highest`` its peak."""

    limits: Limits
    wanted: float
    highest: int
    exempt: bool = False

    @property
    def least(self) -> int:
        """What the level must get: its own seats as far as it has used them."""
        if self.exempt:
            return max(self.limits.lower, self.highest)
        return max(self.limits.lower, min(self.limits.nominal, self.highest))


def limits(total: int, shares: Mapping[str, Shares]) -> dict[str, Limits]:
    """The limits of every level of a server with ``total`` seats."""
    whole = sum(share.nominal for share in shares.values())
    return {name: _limits(total, share, whole) for name, share in shares.items()}


def _limits(total: int, share: Shares, whole: int) -> Limits:
    nominal = math.ceil(total * share.nominal / whole) if whole else 0
    lent = round(nominal * share.lendable / 100)
    more = total if share.borrowing is None else round(nominal * share.borrowing / 100)
    return Limits(nominal, nominal - lent, nominal + more)


def divide(claims: Mapping[str, Claim]) -> tuple[dict[str, int], float]:
    """The current limit of every level, and the fraction of its demand that an unbounded level gets."""
    total = sum(claim.limits.nominal for claim in claims.values())
    current = {name: claim.least for name, claim in claims.items() if claim.exempt}
    remaining = total - sum(current.values())
    limited = {name: claim for name, claim in claims.items() if not claim.exempt}
    lower = sum(claim.limits.lower for claim in limited.values())
    least = sum(claim.least for claim in limited.values())
    if remaining <= lower:
        return {**current, **{name: claim.limits.lower for name, claim in limited.items()}}, 0.0
    if remaining <= least:
        part = (remaining - lower) / (least - lower)
        for name, claim in limited.items():
            current[name] = claim.limits.lower + round((claim.least - claim.limits.lower) * part)
        return current, 0.0
    bounds = [
        (max(float(c.least), c.wanted), float(c.least), float(c.limits.upper)) for c in limited.values()
    ]
    fraction = fair_fraction(remaining, bounds)
    for (name, _), (target, low, high) in zip(limited.items(), bounds, strict=True):
        current[name] = round(min(high, max(low, fraction * max(target, _LEAST_TARGET))))
    return current, fraction


def fair_fraction(total: float, items: Sequence[tuple[float, float, float]]) -> float:
    """The factor by which all targets are scaled so that, kept within their bounds, they sum to ``total``.

    ``items`` are (target, lower bound, upper bound). The sum grows with the factor and bends where an item
    reaches a bound, so the factor lies between the two bends around ``total``. Beyond the sum of all bounds it
    is the factor at which nothing changes any more.
    """
    scaled = [(max(target, _LEAST_TARGET), low, high) for target, low, high in items]

    def reached(factor: float) -> float:
        return sum(min(high, max(low, factor * target)) for target, low, high in scaled)

    bends = sorted({bound / target for target, low, high in scaled for bound in (low, high)})
    before = 0.0
    for bend in bends:
        have, base = reached(bend), reached(before)
        if have >= total:
            if have == base:
                return bend
            return before + (bend - before) * max(0.0, total - base) / (have - base)
        before = bend
    return before
