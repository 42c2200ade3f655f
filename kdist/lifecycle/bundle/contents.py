"""The files of a bundle on their way into it, and how they are laid out in its directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kdist.lifecycle.bundle import oci
from kdist.lifecycle.bundle.layers import Blob, TarWriter, file_digest
from kdist.lifecycle.bundle.manifest import FILE, NODE, OPERATOR, UNLISTED, Entry
from kdist.lifecycle.bundle.process import BundleError
from kdist.lifecycle.bundle.release import Release


@dataclass(frozen=True)
class Source:
    """One file: content from a file of the cache, or in memory."""

    content: Path | bytes
    entry: Entry


class Digests:
    """sha256 of downloaded files, remembered by name, size and time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        self._used: dict[str, str] = {}

    def entry(self, path: Path, needed_by: str, suite: str | None = None) -> Entry:
        """The manifest's entry of a file."""
        stat = path.stat()
        key = f"{path} {stat.st_size} {stat.st_mtime_ns}"
        self._used[key] = self._known.get(key) or file_digest(path)
        return Entry(self._used[key], stat.st_size, needed_by, suite)

    def save(self) -> None:
        """Remember what was asked this time."""
        self._path.write_text(json.dumps(self._known | self._used, indent=1))


def package_files(release: Release, digests: Digests) -> dict[str, Source]:
    """The packages of one suite."""
    return {
        f"debs/{release.suite}/{role}/{package.path.name}": Source(
            package.path, digests.entry(package.path, role, release.suite)
        )
        for role, packages in release.debs.items()
        for package in packages
    }


def image_files(images: list[oci.Built]) -> dict[str, Source]:
    """The OCI layout: documents and layers, each needed by whoever needs one of its images."""
    files = {
        "images/oci-layout": document(oci.LAYOUT, NODE),
        "images/index.json": document(oci.index(built.index_entry for built in images), NODE),
    }
    # Images for every host come last: a layer they share with others is needed by every host.
    for built in sorted(images, key=lambda built: built.image.needed_by == NODE):
        role = built.image.needed_by
        for one in (built.config, built.manifest):
            files[f"images/blobs/sha256/{one.digest}"] = document(one.content, role)
        for layer in built.image.layers:
            files[layer_path(layer)] = Source(layer.path, Entry(layer.digest, layer.size, role))
    return files


def layer_path(layer: Blob) -> str:
    """Where an image's layer lies in the bundle."""
    return f"images/blobs/sha256/{layer.digest}"


def site_files(suite: str, layers: Mapping[Blob, str]) -> dict[str, Source]:
    """The Python tree of a suite that no image has: its layers, and who needs each."""
    return {
        f"site/{suite}/{layer.digest}": Source(layer.path, Entry(layer.digest, layer.size, role, suite))
        for layer, role in layers.items()
    }


def wheel_files(wheels: Iterable[Path], digests: Digests) -> dict[str, Source]:
    """Wheels of every suite; those without compiled code are the same for all."""
    return {f"wheels/{wheel.name}": Source(wheel, digests.entry(wheel, OPERATOR)) for wheel in wheels}


def tree_file(tree: Blob, version: str) -> dict[str, Source]:
    """What the operator runs, as one archive."""
    return {f"operator/kdist-{version}.tar": Source(tree.path, Entry(tree.digest, tree.size, OPERATOR))}


def document(content: bytes, role: str) -> Source:
    """A file made here."""
    return Source(content, Entry(oci.Document(content).digest, len(content), role))


def check_place(out: Path) -> None:
    """BundleError when ``out`` holds something else than a bundle."""
    if out.exists() and any(out.iterdir()) and not any((out / name).exists() for name in UNLISTED):
        raise BundleError(f"--out {out} is not empty and no bundle: nothing in it is replaced")


def lay_out(out: Path, files: dict[str, Source]) -> None:
    """Make ``out`` hold exactly these files; what is there already is kept. The manifest goes first."""
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    for path in [path for path in out.rglob("*") if not path.is_dir() or path.is_symlink()]:
        # A signature without manifest marks the directory as a bundle, should this be interrupted.
        if str(path.relative_to(out)) not in (*files, *UNLISTED):
            path.unlink()
    for directory in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        if not any(directory.iterdir()):
            directory.rmdir()
    for name, source in files.items():
        _place(source.content, out / name)


def _place(content: Path | bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    wanted = content.stat()
    if target.exists():
        found = target.stat()
        if (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
            return
    shutil.copy2(content, target)


def write_tar(out: Path, path: Path, version: str) -> None:
    """The bundle as one file."""
    with path.open("wb") as file:
        tar = TarWriter(file)
        tar.tree_at(out, f"kdist-bundle-{version}")
        tar.close()
