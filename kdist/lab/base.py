"""The root file system lab hosts share: Debian as an installer leaves it, plus what a host without hardware needs.

Built once per recipe with debootstrap and kept under a name that carries the recipe's hash, so that a changed
recipe is a new base and an old one is never used by mistake.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdist.config.bundle import HOST_PACKAGES
from kdist.lab.process import LabError, run

# Units that look after hardware, clocks, mirrors or consoles a lab host does not have, or that would reach
# into the machine (kernel modules, file systems of the kernel).
MASKED = (
    *(f"systemd-udevd{unit}" for unit in (".service", "-control.socket", "-kernel.socket")),
    *(f"systemd-networkd{unit}" for unit in (".service", ".socket", "-wait-online.service")),
    "systemd-udev-trigger.service",
    "systemd-modules-load.service",
    "systemd-network-generator.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-firstboot.service",
    "systemd-random-seed.service",
    "systemd-pstore.service",
    "systemd-hwdb-update.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "console-getty.service",
    "getty.target",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
)

SSHD = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
HostKey /etc/ssh/ssh_host_ed25519_key
"""

# nspawn mounts cgroup v1 hierarchies read-only. "bind" limits the remount to the host's own mount; without it
# the machine's hierarchy would change too. Shared propagation is what kubelets expect of a host's mounts.
CGROUP_UNIT = """\
[Unit]
Description=Make the cgroup hierarchies of this lab host writable
DefaultDependencies=no
ConditionPathExists=!/sys/fs/cgroup/cgroup.procs
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '\\
  mount -o remount,bind,rw /sys/fs/cgroup; \\
  for d in /sys/fs/cgroup/*/; do \\
    [ -L "$${d%%/}" ] || mount -o remount,bind,rw,nosuid,nodev,noexec "$$d" || true; \\
  done; \\
  mount -o remount,bind,ro /sys/fs/cgroup'

[Install]
WantedBy=sysinit.target
"""

SHARED_UNIT = """\
[Unit]
Description=Share the mounts of this lab host with its containers
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount --make-rshared /

[Install]
WantedBy=sysinit.target
"""

UNITS = {"lab-cgroup-rw.service": CGROUP_UNIT, "lab-shared-mounts.service": SHARED_UNIT}


def base_path(directory: Path, suite: str) -> Path:
    """Where the base of this suite and of the present recipe is kept."""
    recipe = inspect.getsource(sys.modules[__name__]) + json.dumps(HOST_PACKAGES)
    return directory / "base" / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_base(directory: Path, suite: str) -> Path:
    """The base, built on first use (about a minute; concurrent callers wait for one build)."""
    base = base_path(directory, suite)
    base.parent.mkdir(parents=True, exist_ok=True)
    with locked(base.with_suffix(".lock")):
        if not base.exists():
            partial = base.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _debootstrap(partial, suite)
            _make_clonable(partial)
            partial.rename(base)
    return base


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting for it."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mirror() -> str:
    """The Debian mirror this machine's apt is configured for."""
    uris = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian")
    if not uris.strip():
        raise LabError(
            "apt on this machine knows no Debian mirror (apt-get indextargets lists none); apt-get update"
        )
    return uris.split()[0]


def _debootstrap(target: Path, suite: str) -> None:
    include = ",".join(HOST_PACKAGES)
    run("debootstrap", "--variant=minbase", f"--include={include}", suite, str(target), mirror())


def _make_clonable(root: Path) -> None:
    """Take out what must differ between hosts, and package sources: lab hosts have no uplink, on purpose."""
    for pattern in (
        "etc/ssh/ssh_host_*",
        "var/cache/apt/archives/*.deb",
        "var/lib/apt/lists/*_*",
        "etc/hostname",
    ):
        for path in root.glob(pattern):
            path.unlink()
    for name in ("etc/machine-id", "etc/resolv.conf", "etc/apt/sources.list"):
        (root / name).unlink(missing_ok=True)
        (root / name).touch()
    # Left by debootstrap; it would keep packages installed later from starting their services.
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(SSHD)
    system = root / "etc/systemd/system"
    for unit in MASKED:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    wants = system / "sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    for name, content in UNITS.items():
        (system / name).write_text(content)
        (wants / name).symlink_to(f"../{name}")
