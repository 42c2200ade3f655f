"""What clients were told, against what is there in the end: nothing acknowledged may be lost or undone.

A client creates objects, each once, and counts in one object by compare-and-swap. An answer is "ok" (it happened),
"refused" (it did not) or "unknown" (no answer, or an error of the server: it may have happened).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write. ``kind``: create (``value`` is what was written) or count (the number written)."""

    client: str
    kind: str
    name: str
    value: str
    outcome: str


def faults(history: Iterable[Attempt], final: Mapping[str, str]) -> list[str]:
    """Everything in ``final`` (name to value) that contradicts what clients were told."""
    counts: dict[str, list[Attempt]] = defaultdict(list)
    found, tried = [], set()
    for attempt in history:
        tried.add(attempt.name)
        if attempt.kind == "count":
            counts[attempt.name].append(attempt)
        else:
            found += _create_faults(attempt, final)
    for name, attempts in counts.items():
        found += _count_faults(name, attempts, final)
    found += [f"{name} is there though nobody tried to write it" for name in sorted(set(final) - tried)]
    return found


def _create_faults(attempt: Attempt, final: Mapping[str, str]) -> list[str]:
    there = final.get(attempt.name)
    if attempt.outcome == "ok" and there is None:
        return [f"{attempt.name} was acknowledged to {attempt.client} and is lost"]
    if attempt.outcome == "refused" and there is not None:
        return [f"{attempt.name} was refused to {attempt.client} and is there"]
    if there not in (None, attempt.value):
        return [f"{attempt.name} is {there}, {attempt.client} wrote {attempt.value}"]
    return []


def _count_faults(name: str, attempts: list[Attempt], final: Mapping[str, str]) -> list[str]:
    acknowledged = [int(a.value) for a in attempts if a.outcome == "ok"]
    possible = [int(a.value) for a in attempts if a.outcome != "refused"]
    found = []
    if len(set(acknowledged)) != len(acknowledged):
        found.append(f"{name}: one number was acknowledged twice: an update was lost in between")
    last = int(final.get(name, 0))
    if acknowledged and last < max(acknowledged):
        found.append(f"{name} is {last}, but {max(acknowledged)} was acknowledged")
    if last > max(possible, default=0):
        found.append(f"{name} is {last}, more than anybody wrote")
    return found
