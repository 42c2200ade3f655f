"""Bring a bundle's images into the containerd of this host: those that are missing, in one pass."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any

from kdist.lifecycle.bundle.manifest import CONTROL_PLANE, NODE, Manifest
from kdist.lifecycle.bundle.oci import LAYOUT, index
from kdist.lifecycle.bundle.process import BundleError, run

CTR = ("ctr", "-n", "k8s.io", "images")


def missing(directory: Path, role: str) -> list[str]:
    """Names of the role's images that containerd lacks or has with another digest."""
    wanted = {
        image.name: image.digest
        for image in Manifest.read(directory).images
        if _is_for(image.needed_by, role)
    }
    present = _present()
    return [name for name, digest in wanted.items() if present.get(name) != digest]


def load(directory: Path, role: str) -> list[str]:
    """Import the missing images; their names. BundleError when a blob is missing or containerd refuses."""
    names = missing(directory, role)
    if names:
        entries = [
            entry for entry in _index(directory) if entry["annotations"]["io.containerd.image.name"] in names
        ]
        process = subprocess.Popen([*CTR, "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                stream(directory, entries, pipe)
        except BrokenPipeError:
            pass  # it has told why on standard error
        if process.wait():
            raise BundleError(f"containerd did not import {', '.join(names)}")
    return names


def stream(directory: Path, entries: list[dict[str, Any]], pipe: IO[bytes]) -> None:
    """Write an OCI archive of these images: index first, then each blob once."""
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, "oci-layout", LAYOUT)
        _add(archive, "index.json", index(entries))
        for name in dict.fromkeys(blob for entry in entries for blob in _blobs(directory, entry)):
            try:
                archive.add(directory / "images" / name, name, recursive=False)
            except FileNotFoundError as error:
                raise BundleError(f"missing: images/{name}") from error


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _blobs(directory: Path, entry: dict[str, Any]) -> list[str]:
    """The blobs of one image: its manifest, its configuration, its layers."""
    manifest = _blob_path(entry)
    content = json.loads((directory / "images" / manifest).read_text())
    return [manifest, _blob_path(content["config"]), *(_blob_path(layer) for layer in content["layers"])]


def _blob_path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _index(directory: Path) -> list[dict[str, Any]]:
    manifests: list[dict[str, Any]] = json.loads((directory / "images/index.json").read_text())["manifests"]
    return manifests


def _present() -> dict[str, str]:
    """Image name → digest, as containerd lists them."""
    rows = [line.split() for line in run(*CTR, "list").splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def _is_for(needed_by: str, role: str) -> bool:
    return needed_by == NODE or (needed_by == CONTROL_PLANE and role == CONTROL_PLANE)
