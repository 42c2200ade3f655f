"""Sets of completion indexes in the form of a Job's status: ``0-3,5,7-9``. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import meta
from kdist.api.meta import Obj

INDEX = "batch.kubernetes.io/job-completion-index"


def parse(text: str | None, completions: int) -> set[int]:
    """The set; indexes from ``completions`` on (after a scale-down) are left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def render(indexes: Iterable[int]) -> str:
    """The shortest text: runs of three and more, and pairs, as ranges."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(_part(first, last) for first, last in parts)


def _part(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def of(pod: Obj) -> int | None:
    """The completion index of a pod."""
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def missing(wanted: int, completions: int, taken: set[int]) -> list[int]:
    """The lowest free indexes, at most ``wanted``."""
    free: list[int] = []
    for index in range(completions):
        if len(free) >= wanted:
            break
        if index not in taken:
            free.append(index)
    return free
