"""manifest.json: what is in a bundle, and whether it is still all there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kdist.lifecycle.bundle.layers import file_digest
from kdist.lifecycle.bundle.process import BundleError

FILE = "manifest.json"
NODE, CONTROL_PLANE, OPERATOR = "node", "control-plane", "operator"


@dataclass(frozen=True)
class Entry:
    """One file: hex sha256, bytes, and who needs it (node, control-plane or operator)."""

    sha256: str
    size: int
    needed_by: str


@dataclass(frozen=True)
class ImageEntry:
    """One image by its full name; ``digest`` is that of its OCI manifest, with ``sha256:``."""

    name: str
    digest: str
    needed_by: str


@dataclass(frozen=True)
class Manifest:
    """The whole description. ``packages`` is role → package → version; ``site`` lists layers, lowest first."""

    version: str
    suite: str
    python: str
    api_level: str
    site: tuple[str, ...]
    images: tuple[ImageEntry, ...]
    architecture: str = "amd64"
    checkout: str = ""
    """Version of the checkout that made it: an older one cannot install it."""
    packages: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As written to the file."""
        return {
            "apiVersion": "kdist.io/v1",
            "kind": "Bundle",
            "version": self.version,
            "checkout": self.checkout or self.version,
            "suite": self.suite,
            "architecture": self.architecture,
            "python": self.python,
            "apiLevel": self.api_level,
            "packages": self.packages,
            "site": list(self.site),
            "images": [_renamed(asdict(image)) for image in self.images],
            "files": {name: _renamed(asdict(entry)) for name, entry in sorted(self.files.items())},
        }

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """The manifest of a bundle. BundleError when there is none or it is no bundle's."""
        path = directory / FILE
        try:
            data = json.loads(path.read_text())
            return cls(
                version=data["version"],
                checkout=data.get("checkout", data["version"]),
                suite=data["suite"],
                architecture=data["architecture"],
                python=data["python"],
                api_level=data["apiLevel"],
                packages=data["packages"],
                site=tuple(data["site"]),
                images=tuple(ImageEntry(i["name"], i["digest"], i["for"]) for i in data["images"]),
                files={name: Entry(f["sha256"], f["size"], f["for"]) for name, f in data["files"].items()},
            )
        except FileNotFoundError as error:
            raise BundleError(f"{directory} is no bundle: it has no {FILE}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path} is damaged: {error!r}") from error

    def write(self, directory: Path) -> None:
        """Write the file."""
        (directory / FILE).write_text(json.dumps(self.to_json(), indent=1) + "\n")


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    """``needed_by`` is ``for`` in the file, which is no name in Python."""
    return {("for" if key == "needed_by" else key): value for key, value in entry.items()}


def verify(directory: Path, roles: tuple[str, ...] = (NODE, CONTROL_PLANE, OPERATOR)) -> list[str]:
    """What is wrong with a bundle, one line per file: missing, altered or unexpected. Empty when all is well.

    ``roles`` limits what must be there to the share of a host; files of other roles may be there too.
    """
    manifest = Manifest.read(directory)
    expected = {name: entry for name, entry in manifest.files.items() if entry.needed_by in roles}
    present = set(_files(directory))
    problems = [f"missing: {name}" for name in expected if name not in present]
    problems += [f"unexpected: {name}" for name in present if name not in manifest.files and name != FILE]

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
