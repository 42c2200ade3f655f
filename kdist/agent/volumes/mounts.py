"""mount(2) and umount2(2), and what the kernel says is mounted. Linux only; needs CAP_SYS_ADMIN.

Called by ctypes rather than by running mount(8): a pod's volumes are set up in well under a millisecond and
no process is forked from the agent.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from pathlib import Path

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str, path: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}", str(path))


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {kind or source}", target)


def bind(source: Path | str, target: Path, *, read_only: bool = False, recursive: bool = True) -> None:
    """Show ``source`` (file or directory) at ``target``, which must exist."""
    _mount(str(source), target, "", MS_BIND | (MS_REC if recursive else 0))
    if read_only:
        _mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY)


def tmpfs(target: Path, *, size: int | None = None, mode: int = 0o777, group: int = 0) -> None:
    """A file system in memory of at most ``size`` bytes (None: half of the memory, as the kernel does)."""
    options = f"mode={mode:o},gid={group}" + (f",size={size}" if size is not None else "")
    _mount("tmpfs", target, "tmpfs", 0, options)


def hugetlbfs(target: Path, *, page_size: int, mode: int = 0o777, group: int = 0) -> None:
    """A file system of huge pages of ``page_size`` bytes."""
    _mount("nodev", target, "hugetlbfs", 0, f"pagesize={page_size},mode={mode:o},gid={group}")


def unmount(target: Path) -> None:
    """Take the mount off; one that is in use goes as soon as nothing uses it."""
    if _libc.umount2(os.fsencode(target), UMOUNT_NOFOLLOW) == 0:
        return
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW), "unmount", target)


def parse_mountinfo(text: str) -> list[Path]:
    """The mount points of a mountinfo file, in the order in which they were mounted."""
    points = (line.split(" ", 5)[4] for line in text.splitlines() if line)
    return [Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), point)) for point in points]


def mount_points() -> list[Path]:
    """Every mount point of this process's mount namespace."""
    return parse_mountinfo(_MOUNTINFO.read_text(errors="surrogateescape"))


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly here."""
    return path.resolve() in mount_points()


def unmount_below(directory: Path) -> None:
    """Take off every mount at or below a directory, the innermost and the newest first."""
    root = directory.resolve()
    for point in reversed(mount_points()):
        if point == root or root in point.parents:
            unmount(point)


def remove_tree(directory: Path) -> None:
    """Unmount and delete a directory; refuses to delete through a mount that is still there."""
    if not directory.exists():
        return
    unmount_below(directory)
    root = directory.resolve()
    left = [p for p in mount_points() if p == root or root in p.parents]
    if left:
        raise OSError(f"{left[0]} is still mounted")
    shutil.rmtree(directory)
