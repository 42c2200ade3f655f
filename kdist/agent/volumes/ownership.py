"""The pod's ``fsGroup`` on a volume: group ownership, group permissions and the setgid bit."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

Obj = dict[str, Any]

# What the group may do beside what the files' own modes say; directories can be entered, and new files
# in them belong to the group.
_WRITABLE = 0o660
_READABLE = 0o440
_DIRECTORY = 0o110 | stat.S_ISGID


def fs_group(pod: Obj) -> int | None:
    """``spec.securityContext.fsGroup``."""
    group = ((pod.get("spec") or {}).get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def on_root_mismatch(pod: Obj) -> bool:
    """Whether a volume whose top directory is right already is left alone."""
    context = (pod.get("spec") or {}).get("securityContext") or {}
    return bool(context.get("fsGroupChangePolicy") == "OnRootMismatch")


def only_user(pod: Obj) -> int | None:
    """The user that every container runs as, when they all name the same one."""
    spec = pod.get("spec") or {}
    default = (spec.get("securityContext") or {}).get("runAsUser")
    users = {
        (c.get("securityContext") or {}).get("runAsUser", default)
        for field in ("initContainers", "containers", "ephemeralContainers")
        for c in spec.get(field) or ()
    }
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)


def give_to_group(path: Path, group: int, *, read_only: bool = False, if_root_differs: bool = False) -> None:
    """Hand a volume's files to ``group``, recursively and without following links out of it."""
    if if_root_differs and _fits(path, group, read_only):
        return
    for directory, _, files in os.walk(path, topdown=False, followlinks=False):
        for name in files:
            _give(Path(directory) / name, group, read_only)
        _give(Path(directory), group, read_only)


def _fits(path: Path, group: int, read_only: bool) -> bool:
    status = path.lstat()
    wanted = (_READABLE if read_only else _WRITABLE) | _DIRECTORY
    return status.st_gid == group and status.st_mode & wanted == wanted


def _give(path: Path, group: int, read_only: bool) -> None:
    status = path.lstat()
    if status.st_gid != group:
        os.chown(path, -1, group, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return
    wanted = _READABLE if read_only else _WRITABLE
    if stat.S_ISDIR(status.st_mode):
        wanted |= _DIRECTORY
    # chown clears the setgid bit, so the mode is set after it.
    path.chmod(stat.S_IMODE(status.st_mode) | wanted)
