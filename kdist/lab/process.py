"""Run the system's tools and turn their failures into errors an operator can read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping


class LabError(Exception):
    """A lab cannot do what was asked; the message says why and what to do about it."""


def run(*argv: str, input: str | None = None) -> str:
    """Standard output of a command. LabError with the end of its standard error when it fails."""
    done = subprocess.run(argv, input=input, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise LabError(f"{' '.join(argv)}: {told[-800:]}")
    return done.stdout


def succeeds(*argv: str) -> bool:
    """Whether a command exits with 0; for removing what may be gone already."""
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def require(tools: Mapping[str, str]) -> None:
    """LabError unless every tool (name → Debian package) is installed; names all missing packages at once."""
    missing = {package for tool, package in tools.items() if not _find(tool)}
    if missing:
        raise LabError(
            f"missing on this machine: {_listed(missing)}; apt-get install {' '.join(sorted(missing))}"
        )


def _find(tool: str) -> str | None:
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
