"""Settings of ``kdist bundle build``, and what a bundle takes for granted on every host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL
from kdist.config.base import option

SUITES = ("bookworm", "trixie")
"""Debian releases a host may run: 12 and 13."""

RELEASES = {("debian", "12"): "bookworm", ("debian", "13"): "trixie"}
"""The same by ID and VERSION_ID of os-release."""

HOST_PACKAGES = (
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "mount",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)
"""What any Debian server has: the bundle leaves these and their dependencies out; lab hosts are made of them."""


@dataclass(frozen=True, kw_only=True)
class BundleSettings:
    """Where the bundle goes, and for which hosts it is."""

    out: Path = option(Path("dist/bundle"), help="Directory of the bundle; replaced when it exists.")
    tar: Path | None = option(None, help="Write the bundle as one tar file here too.")
    suite: tuple[str, ...] = option(
        ("bookworm",),
        help="Debian releases of the hosts: bookworm, trixie, or both. Images are made of the first.",
    )
    version: str | None = option(None, help="Version of the bundle; by default that of this kdist.")
    api_level: str = option(DEFAULT_LEVEL, help="Kubernetes API level clusters start with.")
    refresh: bool = option(
        False, help="Ask the mirrors for newer Debian packages than those of the last build."
    )
    key: Path = option(
        Path("~/.config/kdist/bundle-key.pem"),
        help="Private key that signs the bundle; made when there is none.",
    )
    cache: Path = option(
        Path("~/.cache/kdist"), help="Downloads and finished parts, reused by the next build."
    )
