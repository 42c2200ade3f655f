"""Versions of releases and API levels, and who may follow whom. Pure.

A release (``0.2.0``) serves one API level (``1.33``). Both move one minor at a time, and never back but by a rollback:
stored objects are only known to be readable by the next minor. ``site.yml`` keeps a cluster at its version;
``kdist upgrade`` moves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(.*)")
_REPORTED = re.compile(r"v?(?P<level>\d+\.\d+)[^+]*\+kdist\.?(?P<release>.+)")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release or an API level, comparable; ``text`` is as it was given."""

    major: int
    minor: int
    patch: int
    final: bool
    """0.2.0 follows 0.2.0rc1."""
    suffix: str
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError."""
        found = _RELEASE.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no version such as 0.2.0")
        major, minor, patch, suffix = found.groups()
        return cls(int(major), int(minor), int(patch or 0), not suffix, suffix, text)


def older(one: str, other: str) -> bool:
    """Whether ``one`` comes before ``other``."""
    return Version.parse(one) < Version.parse(other)


def reported(text: str) -> tuple[str, str] | None:
    """API level and release of what API servers and agents report (``v1.32.0+kdist.0.1.0``); None for others."""
    found = _REPORTED.fullmatch(text)
    return (found["level"], found["release"]) if found else None


def step_problem(what: str, now: str, then: str) -> str | None:
    """Why a cluster may not go from ``now`` to ``then``; None when it may. ``what``: release or API level."""
    old, new = Version.parse(now), Version.parse(then)
    if new < old:
        return f"{what} {then} is older than {now}; a way back is only `kdist upgrade rollback`"
    if new.major != old.major:
        return f"{what} {then} is of another major version than {now}"
    if new.minor > old.minor + 1:
        return (
            f"{what} goes one minor version at a time: {now} to {old.major}.{old.minor + 1} first, not {then}"
        )
    return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run brings: the bundle's version, the version of the checkout that made it, the level to serve."""

    bundle: str
    built_by: str
    api_level: str


def site_problems(
    wanted: Wanted, checkout: str, observed: Mapping[str, Mapping[str, Any]], *, upgrading: bool
) -> Iterator[tuple[str, str]]:
    """Why ``site.yml`` may not run: host (or ``all``) and reason.

    ``checkout``: version of the checkout in use; ``observed``: what ``kdist_preflight`` found, by host.
    """
    for host, facts in observed.items():
        if release := facts.get("release"):
            yield from ((host, told) for told in _release_problems(wanted.bundle, release, upgrading))
        if level := facts.get("api_level"):
            yield from ((host, told) for told in _level_problems(wanted.api_level, level, upgrading))
    if older(checkout, wanted.built_by):
        yield (
            "all",
            f"this checkout is kdist {checkout}, the bundle was made by {wanted.built_by}: "
            f"use a checkout of {wanted.built_by} or later",
        )


def _release_problems(bundle: str, release: str, upgrading: bool) -> Iterator[str]:
    if older(bundle, release):
        yield (
            f"runs kdist {release}, and this checkout's bundle is {bundle}, which is older: use a checkout "
            f"and bundle of {release} or later; to go back, `kdist upgrade rollback`"
        )
    elif older(release, bundle) and not upgrading:
        yield (
            f"runs kdist {release}, and the bundle is {bundle}: site.yml does not move a running cluster "
            "to another version; run `kdist upgrade apply`"
        )


def _level_problems(wanted: str, served: str, upgrading: bool) -> Iterator[str]:
    if older(wanted, served):
        yield (
            f"serves API level {served}, and kdist_api_level is {wanted}, which is older: set it to {served}; "
            "to go back, `kdist upgrade rollback`"
        )
    elif older(served, wanted) and not upgrading:
        yield (
            f"serves API level {served}, and kdist_api_level is {wanted}: site.yml does not move a running "
            "cluster to another level; run `kdist upgrade apply`"
        )
