"""Files that change all at once: the layout that programs which watch their configuration expect.

    VOLUME/..2026_01_02_03_04_05.123456/key     the files
    VOLUME/..data -> ..2026_01_02_03_04_05.123456
    VOLUME/key -> ..data/key

An update writes a new timestamped directory and renames a new ``..data`` link over the old one, so that a
reader sees either all old files or all new ones. What a user sees are only the links.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DATA = "..data"
_NEW = "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """One file to project: content, permission bits, and an owner when it is not root."""

    content: bytes
    mode: int = 0o644
    owner: int | None = None


Payload = Mapping[str, File]  # path relative to the volume -> file


def write(volume: Path, payload: Payload, finish: Callable[[Path], None] | None = None) -> bool:
    """Make the volume hold exactly ``payload``; whether that changed anything.

    ``finish`` gets the new directory before it becomes visible, to set ownership.
    """
    current = _current(volume)
    if current is not None and _same(current, payload):
        return False
    fresh = _write_files(volume, payload)
    try:
        if finish is not None:
            finish(fresh)
        link = volume / _NEW
        link.unlink(missing_ok=True)
        link.symlink_to(fresh.name)
        link.rename(volume / DATA)
    except OSError:
        shutil.rmtree(fresh)
        raise
    _show(volume, {path.split("/", 1)[0] for path in payload})
    _forget_others(volume, fresh)
    return True


def _current(volume: Path) -> Path | None:
    link = volume / DATA
    return volume / link.readlink() if link.is_symlink() else None


def _same(directory: Path, payload: Payload) -> bool:
    found = {str(f.relative_to(directory)): f for f in directory.rglob("*") if f.is_file()}
    if found.keys() != payload.keys():
        return False
    return all(_same_file(found[path], wanted) for path, wanted in payload.items())


def _same_file(path: Path, wanted: File) -> bool:
    status = path.stat()
    # fsGroup may have added permissions since the file was written; none may be missing.
    mode = stat.S_IMODE(status.st_mode)
    return (
        status.st_size == len(wanted.content)
        and mode & wanted.mode == wanted.mode
        and wanted.owner in (None, status.st_uid)
        and path.read_bytes() == wanted.content
    )


def _write_files(volume: Path, payload: Payload) -> Path:
    stamp = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=volume))
    fresh.chmod(0o755)
    for path, file in payload.items():
        target = fresh / path
        for parent in reversed(target.relative_to(fresh).parents):
            (fresh / parent).mkdir(mode=0o755, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
        if file.owner is not None:
            os.chown(target, file.owner, -1)
    return fresh


def _show(volume: Path, names: set[str]) -> None:
    for entry in volume.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")


def _forget_others(volume: Path, fresh: Path) -> None:
    for entry in volume.iterdir():
        if entry.name.startswith("..2") and entry != fresh and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
