"""Findings and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from kdist.lifecycle.care.picture import Picture


class Severity(StrEnum):
    """ERROR: something does not work. WARNING: it will not, or somebody should look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject``: host or object; ``finding``: what is seen; ``cause``: why; ``mend``: the command, or what to do."""

    check: str
    severity: Severity
    subject: str
    finding: str
    cause: str
    mend: str


Told = tuple[str, str, str, str]
"""Subject, finding, cause, mend."""


def error(subject: str, finding: str, cause: str, mend: str) -> tuple[Severity, Told]:
    """For checks to yield."""
    return Severity.ERROR, (subject, finding, cause, mend)


def warning(subject: str, finding: str, cause: str, mend: str) -> tuple[Severity, Told]:
    """For checks to yield."""
    return Severity.WARNING, (subject, finding, cause, mend)


Check = Callable[[Picture], Iterator[tuple[Severity, Told]]]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under the name that findings carry."""

    def register(function: Check) -> Check:
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        CHECKS[name] = function
        return function

    return register


def examine(picture: Picture) -> list[Finding]:
    """What every check finds, errors first, in the order of the checks."""
    found = [
        Finding(name, severity, *told)
        for name, function in CHECKS.items()
        for severity, told in function(picture)
    ]
    return sorted(found, key=lambda finding: finding.severity != Severity.ERROR)
