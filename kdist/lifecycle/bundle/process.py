"""Run the system's tools and turn their failures into errors an operator can read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping


class BundleError(Exception):
    """A bundle cannot be built, verified or loaded; the message says why and names the culprit."""


def run(*argv: str, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a command. BundleError with the end of its standard error when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        told = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise BundleError(f"{' '.join(argv[:2])} failed: {told[-1500:]}")
    return done.stdout


def require(tools: Mapping[str, str]) -> None:
    """BundleError unless every tool (name → Debian package) is installed; names all missing packages at once."""
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool) is None})
    if missing:
        raise BundleError(
            f"missing on this machine: {', '.join(missing)}; apt-get install {' '.join(missing)}"
        )
