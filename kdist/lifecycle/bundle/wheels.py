"""kdist's Python dependencies: pinned in requirements.lock, fetched by pip, checked against the pinned hashes."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from kdist.lifecycle.bundle.process import BundleError, run

LOCK = "requirements.lock"
# What only the operator's machine needs besides: Ansible, and what installs the checkout itself.
OPERATOR_LOCK = "requirements-operator.lock"
# Python and glibc of each Debian release.
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
GLIBC_MINOR = {"bookworm": 36, "trixie": 41}
HEADER = "# Pinned by `kdist bundle lock` from pyproject.toml. Wheels for x86_64; hashes are pip's --require-hashes.\n"


def checkout() -> Path:
    """The source tree of kdist. BundleError when kdist runs from an installed copy: bundles are built from source."""
    root = installed_from()
    if root is None:
        raise BundleError("this kdist runs from no source checkout: bundles are built from one")
    return root


def installed_from() -> Path | None:
    """The source tree of kdist; None when kdist is an installed copy without playbooks beside it."""
    root = Path(__file__).parents[3]
    return root if (root / "pyproject.toml").exists() else None


def platform_options(suite: str) -> list[str]:
    """pip's options that select wheels for the hosts' Python and glibc, whatever this machine has."""
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR[suite], 4, -1)]
    tags += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHONS[suite]]
    return options + [part for tag in tags for part in ("--platform", tag)]


def lock(root: Path) -> int:
    """Resolve pyproject.toml's dependencies anew for every supported release and pin them; how many they are."""
    described = tomllib.loads((root / "pyproject.toml").read_text())
    project = described["project"]
    operator = [*project["optional-dependencies"]["operator"], *described["build-system"]["requires"]]
    product: Pins = {}
    others: Pins = {}
    for suite in PYTHONS:
        found = _resolve(project["dependencies"], suite)
        _pin(product, found, suite)
        # In the company of the product's pins: both are installed together on the operator's machine.
        pinned = [f"{name}=={version}" for name, version, _ in found]
        _pin(others, [one for one in _resolve([*operator, *pinned], suite) if one not in found], suite)
    (root / LOCK).write_text(HEADER + render(product))
    (root / OPERATOR_LOCK).write_text(HEADER + render(others))
    return len(product) + len(others)


Pins = dict[str, dict[str, set[str]]]
"""``name==version`` → sha256 → the Python versions it is for."""


def _pin(pins: Pins, found: list[tuple[str, str, str]], suite: str) -> None:
    for name, version, digest in found:
        pins.setdefault(f"{name}=={version}", {}).setdefault(digest, set()).add(PYTHONS[suite])


def _resolve(dependencies: list[str], suite: str) -> list[tuple[str, str, str]]:
    """(name, version, sha256) of every wheel a host of this release needs."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        _pip("install", "--dry-run", "--ignore-installed", "--target", scratch, "--report", str(report),
             *platform_options(suite), *dependencies)  # fmt: skip
        found = json.loads(report.read_text())["install"]
    return sorted(
        (
            re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in found
    )


def render(pins: Pins) -> str:
    """requirements.lock: ``name==version`` with every hash; a marker where only some Python versions have the pin."""
    lines = []
    for pin, digests in sorted(pins.items()):
        pythons = set().union(*digests.values())
        marker = ""
        if len(pythons) < len(PYTHONS):
            marker = " ; " + " or ".join(f'python_version == "{version}"' for version in sorted(pythons))
        hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(digests))
        lines.append(f"{pin}{marker}{hashes}\n")
    return "".join(lines)


def fetch(root: Path, suite: str, cache: Path, lock_name: str = LOCK) -> list[Path]:
    """The wheels that a lock pins for this release, downloaded and checked by pip."""
    lock_file = root / lock_name
    if not lock_file.exists():
        raise BundleError(f"{lock_file} is missing: kdist bundle lock")
    key = hashlib.sha256((lock_file.read_text() + suite).encode()).hexdigest()[:24]
    directory = cache / "wheels" / key
    if not directory.exists():
        partial = directory.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        _pip("download", "--no-deps", "--require-hashes", "-r", str(lock_file), "-d", str(partial),
             *platform_options(suite))  # fmt: skip
        partial.rename(directory)
    return sorted(directory.glob("*.whl"))


def _pip(*arguments: str) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *_quiet(arguments))


def _quiet(arguments: Iterable[str]) -> list[str]:
    command, *rest = arguments
    return [command, "--quiet", *rest]
