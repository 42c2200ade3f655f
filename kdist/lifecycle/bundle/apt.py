"""Debian packages of any release, by this machine's apt and mirror, without touching its package state.

A private apt root with an empty status file resolves dependencies as on a machine where nothing is installed;
so a closure does not depend on the machine that builds the bundle.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kdist.lifecycle.bundle import relations
from kdist.lifecycle.bundle.process import BundleError, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TARGETS = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
# What is appended to a release's name; backports and the like are left out on purpose.
POCKETS = ("", "-updates", "-security")
ESSENTIAL = "?essential"


@dataclass(frozen=True)
class Package:
    """A .deb file in the cache."""

    name: str
    version: str
    path: Path

    @property
    def upstream(self) -> str:
        """The version of the software, without Debian's epoch and revision."""
        return (
            self.version.partition(":")[2].rpartition("-")[0]
            if ":" in self.version
            else self.version.rpartition("-")[0]
        )


class Apt:
    """A private apt root for one Debian release, kept below ``cache``."""

    def __init__(self, cache: Path, suite: str) -> None:
        self.suite = suite
        self._root = cache / "apt" / suite
        self._archives = cache / "debs"
        self._options = (
            "-o", f"Dir::State={self._root}",
            "-o", f"Dir::State::status={self._root / 'status'}",
            "-o", f"Dir::Cache={self._root}",
            "-o", f"Dir::Cache::archives={self._archives}",
            "-o", f"Dir::Etc::sourcelist={self._root / 'sources.list'}",
            "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", "Dir::Etc::preferencesparts=/dev/null",
            "-o", "APT::Sandbox::User=",
            "-o", "Debug::NoLocking=1",
        )  # fmt: skip

    def closure(self, packages: Iterable[str], *, refresh: bool = False) -> list[Package]:
        """The packages and all they depend on, downloaded. Order is apt's.

        The answer is remembered until ``refresh``, which asks the mirror for newer versions.
        """
        wanted = sorted(packages)
        memory = self._root / "closures.json"
        known: dict[str, list[str]] = json.loads(memory.read_text()) if memory.exists() else {}
        key = shlex.join(wanted)
        files = [self._archives / name for name in known.get(key, ())]
        if refresh or not files or not all(file.exists() for file in files):
            self._update()
            files = [self._archives / name for name in self._resolve(wanted)]
            self._install("--download-only", *wanted)
            memory.write_text(json.dumps({**known, key: [file.name for file in files]}, indent=1))
        return [_package(file) for file in files]

    def base(self, packages: Iterable[str], *, refresh: bool = False) -> dict[str, str]:
        """The packages and all they depend on, downloading nothing: name → version. Names that they only provide
        are there too, with the version they provide or none (empty)."""
        wanted = sorted(packages)
        memory = self._root / "base.json"
        known: dict[str, dict[str, str]] = json.loads(memory.read_text()) if memory.exists() else {}
        key = shlex.join(wanted)
        if refresh or key not in known:
            self._update()
            names = [file.partition("_")[0] for file in self._resolve(wanted)]
            shown = run("apt-cache", *self._options, "show", "--no-all-versions", *names)
            known[key] = relations.offered(shown)
            memory.write_text(json.dumps(known, indent=1))
        return known[key]

    def _resolve(self, wanted: list[str]) -> list[str]:
        """File names of the closure, as apt stores them; it prints only what its archives lack, so they are empty."""
        nothing = self._root / "nothing"
        (nothing / "partial").mkdir(parents=True, exist_ok=True)
        lines = self._install("--print-uris", "-o", f"Dir::Cache::archives={nothing}", *wanted).splitlines()
        return [line.split()[1] for line in lines if line.startswith("'")]

    def _install(self, *arguments: str) -> str:
        return run("apt-get", *self._options, "--yes", "--no-install-recommends", "-q", "install", *arguments)

    def _update(self) -> None:
        """Set the root up and fetch the package lists."""
        for directory in (self._root / "lists/partial", self._archives / "partial"):
            directory.mkdir(parents=True, exist_ok=True)
        (self._root / "status").touch()
        (self._root / "sources.list").write_text(
            "".join(f"{line}\n" for line in sources(_targets(), self.suite))
        )
        run("apt-get", *self._options, "-q", "-o", "APT::Update::Error-Mode=any", "update")


def _package(file: Path) -> Package:
    name, version, _ = file.name.split("_")
    return Package(name, version.replace("%3a", ":"), file)


def _targets() -> list[tuple[str, str, str]]:
    """(URI, release, component) of each Debian package list this machine's apt knows."""
    lines = run(
        "apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages", "Origin: Debian"
    ).splitlines()
    targets = [tuple(line.split()) for line in dict.fromkeys(lines) if len(line.split()) == 3]
    if not targets:
        raise BundleError(
            "apt on this machine knows no Debian mirror (apt-get indextargets lists none); apt-get update"
        )
    return [(uri, release, component) for uri, release, component in targets]


def sources(targets: list[tuple[str, str, str]], suite: str) -> list[str]:
    """sources.list lines of ``suite`` on the mirrors that ``targets`` use for the machine's own release. Pure."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = []
    for uri, release, component in targets:
        base, dash, pocket = release.partition("-")
        if base and dash + pocket in POCKETS and component == "main":
            lines.append(f"deb {signed}{uri} {suite}{dash}{pocket} main")
    return list(dict.fromkeys(lines))
