"""Which snapshots go when a new one is there. Pure.

Retention counts by reason, so that a night of scheduled snapshots does not push out the one taken before an upgrade.
The newest of all always stays: an age limit must not leave a cluster whose snapshots fail without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from kdist.lifecycle.etcd.snapshots import Manifest


def surplus(found: Iterable[Manifest], now: datetime, *, keep: int, max_age_days: int) -> list[Manifest]:
    """The snapshots to remove. ``keep``: how many of each reason stay; ``max_age_days``: 0 is without limit."""
    newest_first = sorted(found, key=lambda m: m.name, reverse=True)
    counted: Counter[str] = Counter()
    gone = []
    for position, one in enumerate(newest_first):
        counted[one.reason] += 1
        too_old = bool(max_age_days) and now - one.taken > timedelta(days=max_age_days)
        if position and (too_old or counted[one.reason] > keep):
            gone.append(one)
    return gone
