"""IntOrString amounts: a number, or a percentage of a whole."""

from __future__ import annotations

import math


def scaled(amount: int | str | None, total: int, *, round_up: bool, default: int = 0) -> int:
    """The number that ``amount`` means of ``total``; percentages are rounded as told."""
    if amount is None:
        return default
    if isinstance(amount, int):
        return amount
    if not amount.endswith("%"):
        return int(amount)
    share = int(amount[:-1]) * total / 100
    return math.ceil(share) if round_up else math.floor(share)
