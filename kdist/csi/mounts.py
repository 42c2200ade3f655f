"""Bind mounts by the mount system calls, and what is mounted where."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

# linux/mount.h
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 0x1, 0x20, 0x1000
_OCTAL = re.compile(r"\\([0-7]{3})")
_libc = ctypes.CDLL(None, use_errno=True)


def _check(failed: int, path: Path) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def _mount(source: Path, target: Path, flags: int) -> None:
    done = _libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None)
    _check(done, target)


def bind(source: Path, target: Path, *, read_only: bool) -> None:
    """Make ``source`` appear at ``target``. Raises OSError; then nothing is left mounted."""
    _mount(source, target, _MS_BIND)
    if not read_only:
        return
    try:
        # The kernel takes no other flags in the call that binds.
        _mount(source, target, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    except OSError:
        unmount(target)
        raise


def unmount(target: Path) -> None:
    """Take away the topmost mount at ``target``. Raises OSError."""
    _check(_libc.umount2(os.fsencode(target), 0), target)


def parse(mountinfo: str) -> list[Path]:
    """The mount points in a ``/proc/PID/mountinfo``. Pure."""
    found = []
    for line in mountinfo.splitlines():
        point = line.split(" ")[4]
        found.append(Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), point)))
    return found


def points() -> list[Path]:
    """Everything mounted in this namespace."""
    return parse(Path("/proc/self/mountinfo").read_text())


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly there."""
    return target in points()


def places_of(directory: Path) -> list[Path]:
    """Where ``directory`` itself is mounted."""
    wanted = directory.stat()
    return [point for point in points() if _is_same(point, wanted)]


def _is_same(point: Path, wanted: os.stat_result) -> bool:
    try:
        found = point.stat()
    except OSError:  # not visible to us, or gone since
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
