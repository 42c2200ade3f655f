"""manifest.json: what is in a bundle, and whether it is still all there.

Images are the same for every host. Packages and the Python tree depend on the host's Debian release (its suite):
``hosts`` has one :class:`HostRelease` a suite, and files that only hosts of one suite need carry its name.
The manifest names every other file with its checksum, so signing it (``signature``) covers the whole bundle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdist.lifecycle.bundle.layers import file_digest
from kdist.lifecycle.bundle.process import BundleError

FILE = "manifest.json"
SIGNATURE, SIGNER = "manifest.json.sig", "signer.pub"
# Files that cannot be in the manifest: itself, and what signs it.
UNLISTED = (FILE, SIGNATURE, SIGNER)
NODE, CONTROL_PLANE, OPERATOR = "node", "control-plane", "operator"


@dataclass(frozen=True)
class Entry:
    """One file: hex sha256, bytes, who needs it (node, control-plane or operator), and only on which suite."""

    sha256: str
    size: int
    needed_by: str
    suite: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in the manifest."""
        content = {"sha256": self.sha256, "size": self.size, "for": self.needed_by}
        return content | {"suite": self.suite} if self.suite else content


@dataclass(frozen=True)
class ImageEntry:
    """One image by its full name; ``digest`` is that of its OCI manifest, with ``sha256:``; ``size`` in bytes."""

    name: str
    digest: str
    needed_by: str
    size: int = 0


@dataclass(frozen=True)
class HostRelease:
    """What hosts of one Debian release get. ``packages`` is role → package → version; ``site`` lists the layers of
    the Python tree, lowest first; ``base`` is package → version of what the packages need and every such host has
    (a name without version is one that another package provides)."""

    python: str
    site: tuple[str, ...]
    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The whole description. ``suite`` is the Debian release that images are made of."""

    version: str
    suite: str
    api_level: str
    images: tuple[ImageEntry, ...]
    hosts: dict[str, HostRelease]
    architecture: str = "amd64"
    checkout: str = ""
    """Version of the checkout that made it: an older one cannot install it."""
    files: dict[str, Entry] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As written to the file."""
        return {
            **self._head(),
            "suite": self.suite,
            "hosts": {name: _release(release) for name, release in self.hosts.items()},
            "images": self._images(),
            "files": {name: entry.to_json() for name, entry in sorted(self.files.items())},
        }

    def share(self, suite: str) -> dict[str, Any]:
        """What concerns hosts of one suite, in plain data for roles: ``packages`` and ``site`` are that suite's."""
        release = _release(self.hosts[suite])
        release.pop("base")
        files = {n: e.to_json() for n, e in sorted(self.files.items()) if e.suite in (None, suite)}
        return {**self._head(), "suite": suite, **release, "images": self._images(), "files": files}

    def _head(self) -> dict[str, Any]:
        return {
            "apiVersion": "kdist.io/v1",
            "kind": "Bundle",
            "version": self.version,
            "checkout": self.checkout or self.version,
            "architecture": self.architecture,
            "apiLevel": self.api_level,
        }

    def _images(self) -> list[dict[str, Any]]:
        return [{"name": i.name, "digest": i.digest, "for": i.needed_by, "size": i.size} for i in self.images]

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """The manifest of a bundle. BundleError when there is none or it is no bundle's."""
        return cls.parse(content(directory), directory / FILE)

    @classmethod
    def parse(cls, raw: bytes, path: Path) -> Manifest:
        """The manifest from the content of ``path``. BundleError when it is damaged or of another format."""
        try:
            data = json.loads(raw)
            return cls(
                version=data["version"],
                checkout=data.get("checkout", data["version"]),
                suite=data["suite"],
                architecture=data["architecture"],
                api_level=data["apiLevel"],
                images=tuple(ImageEntry(i["name"], i["digest"], i["for"], i["size"]) for i in data["images"]),
                hosts={
                    suite: HostRelease(r["python"], tuple(r["site"]), r["packages"], r["base"])
                    for suite, r in data["hosts"].items()
                },
                files={
                    name: Entry(f["sha256"], f["size"], f["for"], f.get("suite"))
                    for name, f in data["files"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"{path} is damaged, or of another version of kdist: {error!r}; build the bundle again"
            ) from error

    def write(self, directory: Path) -> None:
        """Write the file."""
        (directory / FILE).write_text(json.dumps(self.to_json(), indent=1) + "\n")


def content(directory: Path) -> bytes:
    """The bytes of the manifest. BundleError when there is none."""
    try:
        return (directory / FILE).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{directory} is no bundle: it has no {FILE}") from error


def _release(release: HostRelease) -> dict[str, Any]:
    return {
        "python": release.python,
        "packages": release.packages,
        "site": list(release.site),
        "base": release.base,
    }


def verify(
    directory: Path,
    manifest: Manifest,
    roles: tuple[str, ...] = (NODE, CONTROL_PLANE, OPERATOR),
    suite: str | None = None,
) -> list[str]:
    """What is wrong with a bundle, one line per file: missing, altered or unexpected. Empty when all is well.

    ``roles`` and ``suite`` limit what must be there to the share of a host; other files may be there too.
    """
    expected = {
        name
        for name, entry in manifest.files.items()
        if entry.needed_by in roles and (suite is None or entry.suite in (None, suite))
    }
    present = set(_files(directory))
    problems = [f"missing: {name}" for name in expected if name not in present]
    problems += [f"unexpected: {name}" for name in present - manifest.files.keys() - set(UNLISTED)]

    def altered(name: str) -> str | None:
        entry, path = manifest.files[name], directory / name
        if path.stat().st_size != entry.size:
            return f"altered: {name} (size {path.stat().st_size}, not {entry.size})"
        return None if file_digest(path) == entry.sha256 else f"altered: {name} (sha256 differs)"

    with ThreadPoolExecutor() as pool:
        found = pool.map(altered, sorted(present & manifest.files.keys()))
    return sorted([*problems, *(problem for problem in found if problem)])


def _files(directory: Path) -> Iterator[str]:
    for path in directory.rglob("*"):
        if path.is_file() or path.is_symlink():
            yield str(path.relative_to(directory))
