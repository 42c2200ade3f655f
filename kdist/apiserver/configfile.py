"""Configuration files of the API server (apiserver.config.k8s.io): read strictly, with every fault by its field.

Unlike objects of the API they are not published as schemas: each reader says which fields it knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

GROUP = "apiserver.config.k8s.io"
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
Obj = dict[str, Any]


class ConfigurationError(ValueError):
    """The file cannot be used; the message has every reason."""


class Faults:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def invalid(self, where: str, value: object, told: str) -> None:
        """A value that may not be."""
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        self.found.append(f"{where}: Invalid value: {shown}: {told}")

    def required(self, where: str, told: str = "") -> None:
        """A value that must be there."""
        self.found.append(f"{where}: Required value" + (f": {told}" if told else ""))

    def duplicate(self, where: str, value: str) -> None:
        """A value that was there before."""
        self.found.append(f'{where}: Duplicate value: "{value}"')

    def supported(self, where: str, value: object, known: Iterable[str]) -> bool:
        """Whether a value is one of the known ones; notes it when not."""
        listed = list(known)
        if value in listed:
            return True
        shown = ", ".join(f'"{name}"' for name in listed)
        self.found.append(f'{where}: Unsupported value: "{value}": supported values: {shown}')
        return False

    def mapping(self, where: str, value: Any, known: Collection[str]) -> Obj:
        """The value as an object with known fields; an empty one (and a note) when it is none."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.invalid(where, type(value).__name__, "must be an object")
            return {}
        prefix = f"{where}." if where else ""
        self.found += [f'unknown field "{prefix}{field}"' for field in value if field not in known]
        return value

    def sequence(self, where: str, value: Any) -> list[Any]:
        """The value as a list; an empty one (and a note) when it is none."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.invalid(where, type(value).__name__, "must be a list")
            return []
        return value

    def text(self, where: str, value: Any) -> str:
        """The value as a string; empty (and a note) when it is none."""
        if value is None:
            return ""
        if not isinstance(value, str):
            self.invalid(where, type(value).__name__, "must be a string")
            return ""
        return value

    def raise_found(self) -> None:
        """Raise ConfigurationError when anything is wrong."""
        if self.found:
            raise ConfigurationError("; ".join(self.found))


def read(path: Path, kind: str, versions: Collection[str]) -> Obj:
    """The document of a file, of this kind. Raises ConfigurationError."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    wanted = [f"{GROUP}/{version}" for version in versions]
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: is no {kind}")
    if document.get("kind") != kind or document.get("apiVersion") not in wanted:
        given = f"{document.get('apiVersion')} {document.get('kind')}"
        raise ConfigurationError(f"{path}: is {given}, must be {kind} of {' or '.join(wanted)}")
    found: Obj = document
    return found


def seconds(text: str) -> float:
    """A duration as Go writes it (``1m30s``). ValueError."""
    parts = list(_DURATION.finditer(text))
    if not text or "".join(part.group(0) for part in parts) != text:
        raise ValueError(f'time: invalid duration "{text}"')
    return sum(float(part.group(1)) * _SECONDS[part.group(2)] for part in parts)
