"""hostPath volumes: a path of the host, checked against its type or made."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from kdist.agent.interfaces import VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def prepare(path: Path, kind: str) -> None:
    """Check ``path`` against a HostPathType, making what may be made. Raises VolumeError.

    The empty type checks nothing; the runtime makes a missing directory then.
    """
    if not kind:
        return
    if kind not in _CHECKS:
        raise VolumeError(f"hostPath {path}: unknown type {kind!r}")
    if not path.exists():
        _make(path, kind)
    check, wanted = _CHECKS[kind]
    if not check(path.stat().st_mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {wanted}")


def _make(path: Path, kind: str) -> None:
    try:
        if kind == "DirectoryOrCreate":
            path.mkdir(parents=True, mode=0o755)
        elif kind == "FileOrCreate":
            path.touch(mode=0o644)
        else:
            raise VolumeError(f"hostPath type check failed: {path} does not exist")
    except OSError as error:
        raise VolumeError(f"hostPath {path} cannot be made: {error.strerror}") from error
