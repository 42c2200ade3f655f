"""Everything that is served, here or elsewhere, in the order that clients prefer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdist.api.scheme import Scheme, version_order
from kdist.apiserver.aggregation import priorities
from kdist.apiserver.aggregation.backends import Backend

GroupVersion = tuple[str, str]


def ordered(scheme: Scheme, backends: Mapping[GroupVersion, Backend]) -> dict[str, list[str]]:
    """The versions of each group, both preferred first; the core group has the empty name."""
    numbers = _numbers(scheme, backends)
    groups: dict[str, list[str]] = {}
    for group, version in numbers:
        groups.setdefault(group, []).append(version)

    def group_key(group: str) -> tuple[Any, ...]:
        registration = group == priorities.REGISTRATION_GROUP
        return not registration, -max(numbers[group, version][0] for version in groups[group]), group

    def versions_of(group: str) -> list[str]:
        return sorted(groups[group], key=lambda v: (-numbers[group, v][1], version_order(v)))

    return {group: versions_of(group) for group in sorted(groups, key=group_key)}


def _numbers(scheme: Scheme, backends: Mapping[GroupVersion, Backend]) -> dict[GroupVersion, tuple[int, int]]:
    found = {
        (r.group, r.version): priorities.of(r.group, r.version, custom=scheme.is_custom(r)) for r in scheme
    }
    remote = {at: (b.group_priority, b.version_priority) for at, b in backends.items()}
    return {**found, **remote}
