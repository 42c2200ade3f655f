"""The Pod Security policy of a namespace, from its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kdist.api.errors import Cause
from kdist.apiserver.validation import causes

Level = Literal["privileged", "baseline", "restricted"]
Mode = Literal["enforce", "audit", "warn"]

LEVELS: tuple[Level, ...] = ("privileged", "baseline", "restricted")
MODES: tuple[Mode, ...] = ("enforce", "audit", "warn")
PREFIX = "pod-security.kubernetes.io/"
# The minor version that ``latest`` stands for: newer than any rule.
LATEST = 1 << 30
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Standard:
    """A level as of a minor version of Kubernetes."""

    level: Level = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    def is_stricter(self, other: Standard) -> bool:
        """Whether the level is above the other's, whatever the versions."""
        return LEVELS.index(self.level) > LEVELS.index(other.level)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is refused, recorded and warned about."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


def read(labels: Mapping[str, str]) -> Policy:
    """The policy that labels ask for; what cannot be read is enforced strictly and warned about not at all."""
    enforce, audit, warn = (_standard(labels, mode) for mode in MODES)
    if f"{PREFIX}warn" not in labels and enforce.is_stricter(warn):
        warn = enforce  # templates are not refused: their authors hear of it nonetheless
    return Policy(enforce, audit, warn)


def _standard(labels: Mapping[str, str], mode: Mode) -> Standard:
    text = labels.get(PREFIX + mode, "privileged")
    on_error: Level = "restricted" if mode == "enforce" else "privileged"
    level = next((known for known in LEVELS if known == text), on_error)
    minor = _minor(labels.get(f"{PREFIX}{mode}-version", "latest"))
    return Standard(level, LATEST if minor is None else minor)


def _minor(text: str) -> int | None:
    if text == "latest":
        return LATEST
    match = _VERSION.fullmatch(text)
    return int(match[1]) if match else None


def problems(labels: Mapping[str, str]) -> list[Cause]:
    """The labels that cannot be read."""
    found = []
    for mode in MODES:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            told = f"must be one of {', '.join(LEVELS)}"
            found.append(causes.invalid(f"metadata.labels[{PREFIX}{mode}]", level, told))
        if version is not None and _minor(version) is None:
            where = f"metadata.labels[{PREFIX}{mode}-version]"
            found.append(causes.invalid(where, version, 'must be "latest" or "v1.x"'))
    return found
