"""Which snapshots, and which data that was put aside, go when there is something newer. Pure.

Retention counts by reason, so that a night of scheduled snapshots does not push out the one taken before an upgrade.
The newest of all always stays: an age limit must not leave a cluster whose snapshots fail without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from kdist.lifecycle.etcd.snapshots import Manifest

# An operation that was killed is run again within this time, and puts its own half-made data aside.
SAME_OPERATION = timedelta(days=1)


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


def forgotten(found: Mapping[str, datetime], now: datetime) -> list[str]:
    """Which data that was put aside (name to when) goes: all but the newest.

    The oldest of the last day stays too: of an operation that was run again, it is what the operator had before.
    """
    by_age = sorted(found, key=lambda name: (found[name], name))
    recent = [name for name in by_age if now - found[name] <= SAME_OPERATION]
    kept = {*by_age[-1:], *recent[:1]}
    return [name for name in by_age if name not in kept]
