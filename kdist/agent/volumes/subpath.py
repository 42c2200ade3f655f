"""``subPath`` without a way out of its volume: what was checked is what is mounted.

A container that shares the volume could swap a directory for a link to the host's root between a check and a
mount. So paths are opened by openat2(2) with RESOLVE_BENEATH, where the kernel itself refuses to leave the
volume, and the bind mount is made from ``/proc/self/fd/N``, which names the opened object and nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import mounts

# The same number on every architecture that Linux runs containers on.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def bind(volume: Path, subpath: str, target: Path, *, create: bool = True) -> None:
    """Bind ``volume/subpath`` at ``target``; idempotent. Raises :class:`VolumeError`.

    With ``create``, missing directories are made, as open as the volume itself.
    """
    if mounts.is_mounted(target):
        return
    with open_beneath(volume, subpath, create=create) as descriptor:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            target.mkdir(exist_ok=True, mode=0o750)
        else:
            target.touch(mode=0o640)
        mounts.bind(f"/proc/self/fd/{descriptor}", target)


@contextlib.contextmanager
def open_beneath(volume: Path, subpath: str, *, create: bool) -> Iterator[int]:
    """An O_PATH descriptor of ``volume/subpath``. Raises VolumeError when it leads outside."""
    path = PurePosixPath(subpath)
    if path.is_absolute() or ".." in path.parts:
        raise VolumeError(f"subPath {subpath!r} must be relative and must not contain '..'")
    top = os.open(volume, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        descriptor = _open(top, path, create, subpath)
    finally:
        os.close(top)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(top: int, path: PurePosixPath, create: bool, subpath: str) -> int:
    try:
        return _openat2(top, str(path))
    except FileNotFoundError:
        if not create:
            raise VolumeError(f"subPath {subpath!r} does not exist in its read-only volume") from None
    except OSError as error:
        raise _refused(error, subpath) from error
    try:
        _make_directories(top, path)
        return _openat2(top, str(path))
    except OSError as error:
        raise _refused(error, subpath) from error


def _make_directories(top: int, path: PurePosixPath) -> None:
    mode = stat.S_IMODE(os.fstat(top).st_mode)
    for step in [*reversed(path.parents), path][1:]:
        parent = _openat2(top, str(step.parent))
        try:
            os.mkdir(step.name, dir_fd=parent)
            # mkdir is subject to the umask. The name was made just now and a link is not followed by it.
            _chmod_new(parent, step.name, mode)
        except FileExistsError:
            pass
        finally:
            os.close(parent)


def _chmod_new(parent: int, name: str, mode: int) -> None:
    made = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fchmod(made, mode)
    finally:
        os.close(made)


def _refused(error: OSError, subpath: str) -> VolumeError:
    if error.errno in (errno.EXDEV, errno.ELOOP):
        return VolumeError(f"subPath {subpath!r} leads outside of its volume")
    return VolumeError(f"subPath {subpath!r}: {error.strerror}")


def _openat2(directory: int, path: str) -> int:
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(directory),
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if result >= 0:
        return int(result)
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        raise VolumeError(f"subPath needs Linux 5.6 or newer; this is {platform.release()}")
    raise OSError(number, os.strerror(number), path)
