"""Image layers: reproducible tar files, named by their digest, made once per set of inputs.

The same files give the same bytes: members sorted, owner root, time zero. A layer is kept under the key of its
inputs, so that an unchanged input costs one file lookup.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """A file of an OCI image layout, in the cache; ``digest`` is bare hex of its sha256."""

    path: Path
    digest: str
    size: int


class LayerCache:
    """Finished layers below ``directory``: ``KEY.tar`` with ``KEY.sha256`` beside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def layer(self, name: str, inputs: str, fill: Callable[[TarWriter], None]) -> Blob:
        """The layer of these inputs, made by ``fill`` on first use. Older ones of the same name are removed."""
        key = f"{name}-{hashlib.sha256(inputs.encode()).hexdigest()[:24]}"
        path, digest_file = self._directory / f"{key}.tar", self._directory / f"{key}.sha256"
        if not digest_file.exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                writer = TarWriter(file)
                fill(writer)
                writer.close()
            partial.rename(path)
            self._forget(name, key)
            digest_file.write_text(file_digest(path))
        return Blob(path, digest_file.read_text(), path.stat().st_size)

    def _forget(self, name: str, key: str) -> None:
        for old in self._directory.glob(f"{name}-{'?' * 24}.*"):
            if old.name.partition(".")[0] != key:
                old.unlink()


class TarWriter:
    """Writes a tar whose bytes depend on nothing but paths, contents, modes and link targets."""

    def __init__(self, file: io.BufferedIOBase | io.BufferedWriter) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed in close()
        self._seen: set[str] = set()

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Add a directory, and those above it, unless they are there."""
        if name and name not in self._seen:
            self.directory(name.rpartition("/")[0])
            self._seen.add(name)
            self._tar.addfile(self._info(name, tarfile.DIRTYPE, mode))

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self.directory(name.rpartition("/")[0])
        info = self._info(name, tarfile.REGTYPE, mode)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self.directory(name.rpartition("/")[0])
        info = self._info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._tar.addfile(info)

    def tree_at(self, root: Path, directory: str) -> None:
        """Add everything below ``root`` as the content of ``directory``."""
        self.directory(directory)
        self.tree(root, f"{directory}/")

    def tree(self, root: Path, prefix: str = "") -> None:
        """Add everything below ``root``, sorted, each name after ``prefix``."""
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            if entry.is_symlink():
                self.link(name, str(Path(entry.path).readlink()))
            elif entry.is_dir():
                self.directory(name, entry.stat().st_mode & 0o1777)
                self.tree(Path(entry.path), f"{name}/")
            else:
                self.file(
                    name, Path(entry.path).read_bytes(), 0o755 if entry.stat().st_mode & 0o111 else 0o644
                )

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()

    @staticmethod
    def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.mtime, info.uid, info.gid = kind, mode, 0, 0, 0
        return info


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
