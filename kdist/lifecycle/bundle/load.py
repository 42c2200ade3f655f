"""Bring a bundle's images into the containerd of this host: those that are missing, in one pass."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from kdist.lifecycle.bundle.manifest import NODE, ImageEntry, Manifest
from kdist.lifecycle.bundle.oci import LAYOUT, index
from kdist.lifecycle.bundle.process import BundleError, run

CHUNK = 1 << 20
CTR = ("ctr", "-n", "k8s.io")


def wanted(images: Sequence[ImageEntry], role: str) -> dict[str, str]:
    """Name → digest of the role's images. Control planes' own of a name comes before everybody's."""
    general = {image.name: image.digest for image in images if image.needed_by == NODE}
    own = {image.name: image.digest for image in images if image.needed_by == role}
    return general | own


def missing(directory: Path, role: str) -> dict[str, str]:
    """Name → digest of the role's images that containerd lacks or has with another digest."""
    present = _present()
    images = wanted(Manifest.read(directory).images, role)
    return {name: digest for name, digest in images.items() if present.get(name) != digest}


def load(directory: Path, role: str) -> list[str]:
    """Import the missing images; their names. BundleError when a blob is missing or containerd refuses."""
    lacking = missing(directory, role)
    if lacking:
        entries = [entry for entry in _index(directory) if (_name(entry), entry["digest"]) in lacking.items()]
        process = subprocess.Popen(
            [*CTR, "images", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                stream(
                    directory, entries, pipe, known=frozenset(run(*CTR, "content", "list", "--quiet").split())
                )
        except BrokenPipeError:
            pass  # it has told why on standard error
        if process.wait():
            raise BundleError(f"containerd did not import {', '.join(lacking)}")
    return list(lacking)


def stream(
    directory: Path, entries: list[dict[str, Any]], pipe: IO[bytes], *, known: frozenset[str] = frozenset()
) -> None:
    """Write an OCI archive of these images to a pipe: index first, then each blob once.

    ``known``: digests that containerd holds already, as the layers that an image shares with its former version; they
    are left out. The kernel moves the others (hundreds of megabytes) from file to pipe; only tar headers pass through
    here.
    """
    for name, content in (("oci-layout", LAYOUT), ("index.json", index(entries))):
        pipe.write(_header(name, len(content)) + content + _padding(len(content)))
    for name in dict.fromkeys(blob for entry in entries for blob in _blobs(directory, entry)):
        if _digest(name) in known:
            continue
        try:
            blob = (directory / "images" / name).open("rb")
        except FileNotFoundError as error:
            raise BundleError(f"missing: images/{name}") from error
        with blob:
            size = os.fstat(blob.fileno()).st_size
            pipe.write(_header(name, size))
            pipe.flush()
            while os.sendfile(pipe.fileno(), blob.fileno(), None, CHUNK):
                pass
            pipe.write(_padding(size))
    pipe.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _blobs(directory: Path, entry: dict[str, Any]) -> list[str]:
    """The blobs of one image: its manifest, its configuration, its layers."""
    manifest = _blob_path(entry)
    content = json.loads((directory / "images" / manifest).read_text())
    return [manifest, _blob_path(content["config"]), *(_blob_path(layer) for layer in content["layers"])]


def _name(entry: dict[str, Any]) -> str:
    return str(entry["annotations"]["io.containerd.image.name"])


def _blob_path(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _digest(path: str) -> str:
    """The digest of a blob by its path: the opposite of :func:`_blob_path`."""
    return path.removeprefix("blobs/").replace("/", ":")


def _index(directory: Path) -> list[dict[str, Any]]:
    manifests: list[dict[str, Any]] = json.loads((directory / "images/index.json").read_text())["manifests"]
    return manifests


def _present() -> dict[str, str]:
    """Image name → digest, as containerd lists them."""
    rows = [line.split() for line in run(*CTR, "images", "list").splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}
