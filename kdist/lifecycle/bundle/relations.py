"""Relations between Debian packages: what a package offers, needs, and whether what it needs is there. Pure.

Only the operator's machine reads them; versions are compared by python-debian, as dpkg does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from debian.deb822 import Deb822, PkgRelation
from debian.debian_support import Version

COMPARISONS = {
    "<<": lambda have, want: have < want,
    "<=": lambda have, want: have <= want,
    "=": lambda have, want: have == want,
    ">=": lambda have, want: have >= want,
    ">>": lambda have, want: have > want,
}
NEEDS = ("Pre-Depends", "Depends")


@dataclass(frozen=True)
class Control:
    """What matters of a package's control file; ``needs`` are its alternatives as they stand there."""

    name: str
    version: str
    needs: tuple[str, ...]
    provides: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Control:
        """From the fields of a control file."""
        needs = [part.strip() for name in NEEDS for part in str(fields.get(name, "")).split(",")]
        return cls(
            str(fields["Package"]),
            str(fields["Version"]),
            tuple(need for need in needs if need),
            str(fields.get("Provides", "")),
        )

    def offers(self) -> dict[str, str]:
        """Its name and the names it provides, each with its version (empty: provided without one)."""
        provided: dict[str, str] = {}
        for one in _alternatives(self.provides):
            version = one["version"]
            provided[one["name"]] = version[1] if version else ""
        return {**provided, self.name: self.version}


def offered(paragraphs: str) -> dict[str, str]:
    """All that the packages of these control paragraphs offer; a real package goes before a provided one."""
    controls = [Control.of(fields) for fields in Deb822.iter_paragraphs(paragraphs, use_apt_pkg=False)]
    return dict(sorted(merged(controls).items()))


def merged(controls: Iterable[Control]) -> dict[str, str]:
    """What these packages offer together."""
    controls = list(controls)
    together: dict[str, str] = {}
    for control in controls:
        together |= {name: version for name, version in control.offers().items() if name != control.name}
    return together | {control.name: control.version for control in controls}


def unmet(controls: Iterable[Control], base: Mapping[str, str]) -> list[str]:
    """Needs of these packages that neither they nor the base system meet, one line each."""
    controls = list(controls)
    have = {**base, **merged(controls)}
    return [
        f"{control.name} {control.version} needs {need}, which is neither in the bundle nor in the base system"
        for control in controls
        for need in control.needs
        if not _is_met(need, have)
    ]


def direct(controls: Iterable[Control], base: Mapping[str, str]) -> set[str]:
    """Packages of the base system that these need by name: what a host must really have."""
    controls = list(controls)
    own = merged(controls)
    named = {one["name"] for control in controls for need in control.needs for one in _alternatives(need)}
    return {name for name in named if name in base and name not in own}


def _is_met(need: str, have: Mapping[str, str]) -> bool:
    return any(_fits(one, have) for one in _alternatives(need))


def _alternatives(need: str) -> list[PkgRelation.ParsedRelation]:
    if not need:  # which python-debian warns about
        return []
    return [one for alternatives in PkgRelation.parse_relations(need) for one in alternatives]


def _fits(one: PkgRelation.ParsedRelation, have: Mapping[str, str]) -> bool:
    name, wanted = one["name"], one.get("version")
    if name not in have:
        return False
    if not wanted:
        return True
    # What is provided without a version meets no versioned need, as in dpkg.
    return bool(have[name]) and COMPARISONS[wanted[0]](Version(have[name]), Version(wanted[1]))
