"""The volumes of this node: a directory each, and a small record beside them. Blocking.

Layout of the data directory: ``volumes/ID`` is the volume, ``records/ID.json`` says what was asked for, and
``deleted/`` holds what is being removed. A volume exists when its record does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from kdist.csi import mounts
from kdist.csi.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

# Ids become file names.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Record:
    """What a volume was created with; ``capacity`` in bytes, 0 when nothing was asked for."""

    id: str
    capacity: int


class Volumes:
    """Creates, finds and deletes volumes under ``root``."""

    def __init__(self, root: Path) -> None:
        self._volumes, self._records, self._deleted = (
            root / name for name in ("volumes", "records", "deleted")
        )
        for directory in (self._volumes, self._records, self._deleted):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._sweep()

    def _sweep(self) -> None:
        """Finish deletions that were interrupted."""
        for leftover in self._deleted.iterdir():
            shutil.rmtree(leftover)

    def available(self) -> int:
        """Bytes that could still be written."""
        figures = os.statvfs(self._volumes)
        return figures.f_bavail * figures.f_frsize

    def create(self, name: str, required: int, limit: int) -> Record:
        """The volume ``name``, made unless it exists. Raises the CsiError tree."""
        known = self._find(name)
        if known:
            if known.capacity < required or (limit and known.capacity > limit):
                raise AlreadyExists(f"volume {name} exists with {known.capacity} bytes")
            return known
        if required > self.available():
            raise ResourceExhausted(f"{required} bytes asked for, {self.available()} are free on this node")
        directory = self._path(name)
        directory.mkdir(exist_ok=True)
        # Any user may own the pod's process; mkdir's own mode is cut by the umask.
        directory.chmod(0o777)
        record = Record(name, required)
        self._write(record)
        return record

    def delete(self, id: str) -> None:
        """Remove the volume and its data; nothing happens when there is none. Raises FailedPrecondition."""
        directory = self._path(id)
        if directory.is_dir():
            if places := mounts.places_of(directory):
                raise FailedPrecondition(f"volume {id} is mounted at {places[0]}")
            grave = self._deleted / f"{id}.{uuid.uuid4().hex}"
            directory.rename(grave)
            self._record_path(id).unlink(missing_ok=True)
            shutil.rmtree(grave)
        self._record_path(id).unlink(missing_ok=True)

    def directory(self, id: str) -> Path:
        """Where the volume's data is. Raises NotFound."""
        if self._find(id) is None:
            raise NotFound(f"there is no volume {id}")
        return self._path(id)

    def _find(self, id: str) -> Record | None:
        path = self._record_path(id)
        return Record(**json.loads(path.read_text())) if path.is_file() else None

    def _write(self, record: Record) -> None:
        path = self._record_path(record.id)
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _path(self, id: str) -> Path:
        return self._volumes / _checked(id)

    def _record_path(self, id: str) -> Path:
        return self._records / f"{_checked(id)}.json"


def _checked(id: str) -> str:
    if not _ID.fullmatch(id):
        raise InvalidArgument(f"{id!r} cannot be a volume's name or id")
    return id
