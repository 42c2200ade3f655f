"""A snapshot: a directory with etcd's database, what is needed to read it, and a manifest that tells what it is.

``NAME/snapshot.db`` is etcd's own format; ``NAME/encryption.yaml`` holds the keys of encryption at rest, without
which the Secrets in the database are lost; ``NAME/pki`` is there when the operator wants it. A directory that bears a
snapshot's name is complete: it was verified before it got that name. What begins with a dot never was.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import revisions
from kdist.lifecycle.etcd.bolt import BoltError
from kdist.lifecycle.etcd.etcdctl import EtcdctlError, snapshot_status

DATABASE = "snapshot.db"
ENCRYPTION = "encryption.yaml"
PKI = "pki"
MANIFEST = "manifest.json"
KIND = {"apiVersion": "kdist.io/v1", "kind": "EtcdSnapshot"}
# etcd appends the digest of the database to it; database pages are multiples of this many bytes.
_SECTOR = 512
_NAME = re.compile(r"\d{8}T\d{6}Z-r\d+\Z")
_CHUNK = 1 << 20


class SnapshotError(Exception):
    """A snapshot that cannot be taken or cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot is. ``files``: path below the snapshot to sha256, of everything but the manifest."""

    cluster: str
    host: str
    reason: str
    time: str
    """When the database was read, RFC 3339, UTC."""
    revision: int
    keys: int
    size: int
    """Bytes of the database."""
    etcd: str
    kdist: str
    api_level: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of its directory: sorts by time, and tells the revision."""
        return f"{self.taken:%Y%m%dT%H%M%SZ}-r{self.revision}"

    @property
    def taken(self) -> datetime:
        """``time`` as a number to count with."""
        return datetime.fromisoformat(self.time).astimezone(UTC)

    @property
    def encrypted(self) -> bool:
        """Whether the keys of encryption at rest are with it."""
        return ENCRYPTION in self.files

    def to_json(self) -> dict[str, Any]:
        """The document, and the name."""
        return {**KIND, "name": self.name, **asdict(self), "files": dict(self.files)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """From the document. SnapshotError."""
        if data.get("kind") != KIND["kind"]:
            raise SnapshotError(f"the manifest is of kind {data.get('kind')!r}, not {KIND['kind']}")
        try:
            return cls(**{key: data[key] for key in cls.__dataclass_fields__})
        except KeyError as error:
            raise SnapshotError(f"the manifest has no {error.args[0]}") from None


def read(directory: Path) -> Manifest:
    """The manifest of a snapshot. SnapshotError."""
    try:
        return Manifest.from_json(json.loads((directory / MANIFEST).read_text()))
    except FileNotFoundError:
        raise SnapshotError(f"{directory} is no snapshot: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{directory / MANIFEST}: {error}") from error


def names(directory: Path) -> list[str]:
    """The names of the snapshots in a directory, oldest first; none when there is no directory."""
    if not directory.is_dir():
        return []
    return sorted(entry.name for entry in directory.iterdir() if _NAME.match(entry.name))


def listed(directory: Path) -> tuple[list[Manifest], list[str]]:
    """The snapshots in a directory, oldest first, and what could not be read."""
    found, faults = [], []
    for name in names(directory):
        try:
            found.append(read(directory / name))
        except SnapshotError as error:
            faults.append(str(error))
    return found, faults


def digest(file: Path) -> str:
    """sha256 of a file."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def checksum_fault(database: Path) -> str | None:
    """What is wrong with the digest that etcd appended to a database; None when it is right."""
    left = database.stat().st_size - hashlib.sha256().digest_size
    if left <= 0 or left % _SECTOR:
        return f"{database.name} was cut short, or is a copy of a data directory and no snapshot"
    found = hashlib.sha256()
    with database.open("rb") as stream:
        while left:
            chunk = stream.read(min(_CHUNK, left))
            left -= len(chunk)
            found.update(chunk)
        return None if stream.read() == found.digest() else f"{database.name}: its checksum is wrong"


def files(directory: Path) -> Iterator[str]:
    """Every file of a snapshot but its manifest, as paths below it."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path != directory / MANIFEST:
            yield str(path.relative_to(directory))


def verify(directory: Path) -> tuple[Manifest, list[str]]:
    """The manifest, and everything that is wrong with the snapshot. SnapshotError when there is no such manifest."""
    manifest = read(directory)
    faults = [f"{name} is missing" for name in manifest.files if not (directory / name).is_file()]
    present = set(files(directory))
    faults += [f"{name} is not part of it" for name in sorted(present - set(manifest.files))]
    for name in sorted(present & set(manifest.files)):
        if digest(directory / name) != manifest.files[name]:
            faults.append(f"{name} was altered: its sha256 is not the manifest's")
    if not faults and (fault := checksum_fault(directory / DATABASE)):
        faults.append(fault)
    return manifest, faults or _content_faults(directory, manifest)


def verify_database(database: Path) -> tuple[str, list[str]]:
    """What a bare database is, and what is wrong with it: a file of ``etcdctl snapshot save``."""
    if fault := checksum_fault(database):
        return "", [fault]
    try:
        revision, keys = _contents(database)
    except (BoltError, EtcdctlError) as error:
        return "", [str(error)]
    counted = f", {keys} keys" if keys is not None else ""
    return f"revision {revision}{counted}; without the keys of encryption at rest", []


def _content_faults(directory: Path, manifest: Manifest) -> list[str]:
    try:
        revision, keys = _contents(directory / DATABASE)
    except (BoltError, EtcdctlError) as error:
        return [str(error)]
    if revision != manifest.revision or keys not in (None, manifest.keys):
        told = f"revision {manifest.revision} and {manifest.keys} keys"
        return [f"{DATABASE} has revision {revision} and {keys} keys, the manifest says {told}"]
    return []


def _contents(database: Path) -> tuple[int, int | None]:
    """Revision and number of keys. Where there is no etcdctl (an operator's machine), keys are not counted.

    Control planes have it, and verify again before they use a snapshot.
    """
    if shutil.which("etcdctl") is None:
        return revisions.newest(database), None
    found = snapshot_status(database)
    return found["revision"], found["totalKey"]
