"""Debian packages as a root file system: their files, without what a container does not need.

Maintainer scripts do not run; what they would have done and an image needs is done here (certificates, accounts,
compiled Python).
"""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from kdist.lifecycle.bundle.apt import Package
from kdist.lifecycle.bundle.process import BundleError

# Directories that are links into /usr on a merged system, which packages of Debian 12 still name.
MERGED = ("bin", "sbin", "lib", "lib64")

UNNEEDED = (
    "usr/share/bash-completion/*",
    "usr/share/bug/*",
    "usr/share/doc/*",
    "usr/share/doc-base/*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/share/applications/*",
    "usr/share/pixmaps/*",
    "usr/share/initramfs-tools/*",
    "usr/share/binfmts/*",
    "usr/share/python3/*",
    "usr/lib/x86_64-linux-gnu/gconv/*",
    "usr/lib/locale/*",
    "usr/lib/systemd/*",
    "usr/lib/init/*",
    "usr/lib/python3*/lib2to3/*",
    "usr/lib/python3*/idlelib/*",
    "usr/lib/python3*/turtledemo/*",
    "usr/lib/python3*/pydoc_data/*",
    "usr/lib/python3*/test/*",
    "usr/lib/python3*/ensurepip/*",
    "usr/lib/python3*/lib-dynload/_sqlite3.*",
    "usr/lib/python3*/sqlite3/*",
    "usr/sbin/tc",
    "usr/sbin/unbound-anchor",
    "usr/sbin/unbound-checkconf",
    "usr/share/mime/*",
    "usr/share/zoneinfo/posix/*",
    "usr/share/zoneinfo/right/*",
    "etc/apparmor.d/*",
    "etc/cron.*/*",
    "etc/default/*",
    "etc/init.d/*",
    "etc/pam.d/*",
    "lib/systemd/*",
)


def extract(packages: Iterable[Package], root: Path) -> None:
    """Unpack the packages' files below ``root``, on a merged /usr."""
    for package in packages:
        command = ["dpkg-deb", "--fsys-tarfile", str(package.path)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as archive,
        ):
            for member in archive:
                _place(archive, member, root)
        if process.returncode:
            raise BundleError(f"{package.path} cannot be unpacked")


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = merged(member.name.removeprefix("./").rstrip("/"))
    if not name or unneeded(name):
        return
    target = root / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        target.hardlink_to(root / merged(member.linkname.removeprefix("./")))
    elif member.isfile() and (content := archive.extractfile(member)) is not None:
        target.write_bytes(content.read())
        target.chmod(0o755 if member.mode & 0o111 else 0o644)  # no set-user-id programs in images


def merged(name: str) -> str:
    """The path on a system whose /bin, /sbin and /lib are links into /usr."""
    top, slash, rest = name.partition("/")
    return f"usr/{top}{slash}{rest}" if top in MERGED else name


def unneeded(name: str) -> bool:
    """Whether an image does without this file."""
    return any(fnmatch(name, pattern) for pattern in UNNEEDED)


def certificate_bundle(root: Path) -> None:
    """Write /etc/ssl/certs/ca-certificates.crt from the certificates of the ca-certificates package."""
    found = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    target = root / "etc/ssl/certs/ca-certificates.crt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(path.read_text().rstrip("\n") + "\n" for path in found))
