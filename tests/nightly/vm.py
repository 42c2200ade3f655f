"""A lab host that is a virtual machine: a kernel of its own, hence cgroup v2, whatever the machine below has.

It stands on the bridge of a lab of `kdist lab` and is reached like that lab's other hosts. Debian's cloud kernel boots
under qemu without hardware support (slow: a tenth of the machine's speed) from the lab's own base image. Needs root
and qemu-system-x86.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdist.config.lab import LAB_DIR
from kdist.lab import base, labs, network, ssh
from kdist.lab.plan import BRIDGE, Host, Lab
from kdist.lifecycle.bundle.apt import Apt
from tests.e2e.conftest import eventually, run

CACHE = Path("~/.cache/kdist").expanduser()
KERNEL = "linux-image-cloud-amd64"
# In the order of loading; ext4 is part of the kernel.
MODULES = (
    "virtio/virtio_ring.ko",
    "virtio/virtio.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci.ko",
    "block/virtio_blk.ko",
)
NETWORK = ("../net/core/failover.ko", "net/net_failover.ko", "net/virtio_net.ko")
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module" || echo "insmod $module failed"; done
until [ -b /dev/vda ]; do /bin/busybox sleep 1; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""
UNIT = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip link set lo up; ip link set eth0 up; ip addr add {address}/{prefix} dev eth0; \\
  ip route add default via {gateway}'

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Machine:
    """A running virtual machine."""

    lab: Lab
    host: Host

    def ssh(self, command: str, *, check: bool = True, timeout: float = 120) -> str:
        """A shell command on it."""
        return run(ssh.command(self.lab, self.host, (command,)), check=check, timeout=timeout)


@contextlib.contextmanager
def machine(lab_name: str, host: Host, directory: Path, *, memory: int = 2048) -> Iterator[Machine]:
    """Boot a machine on the network of a lab that is up; its files go below ``directory``."""
    lab = labs.load(LAB_DIR, lab_name)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    version, kernel, modules = _kernel(directory)
    initrd, disk = directory / "initrd.gz", directory / "disk.raw"
    initrd.write_bytes(gzip.compress(_initrd(modules), 1))
    _make_disk(lab, host, version, modules, disk)
    tap = f"vm-{host.name}"
    run(["ip", "-n", lab.netns, "link", "del", tap], check=False)  # an earlier run's
    run(["ip", "-n", lab.netns, "tuntap", "add", tap, "mode", "tap"])
    run(["ip", "-n", lab.netns, "link", "set", tap, "master", BRIDGE, "up"])
    command = [
        *("nsenter", f"--net={network.NETNS_DIR / lab.netns}", "qemu-system-x86_64"),
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(memory)),
        *("-display", "none", "-monitor", "none", "-serial", f"file:{directory / 'console.log'}"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-no-reboot"),
        *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=5"),
        *("-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"),
        *("-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={host.mac},romfile="),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        booted = Machine(lab, host)
        _wait_for_ssh(booted, process, directory / "console.log")
        yield booted
    finally:
        process.kill()
        process.wait()
        run(["ip", "-n", lab.netns, "link", "del", tap], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for_ssh(booted: Machine, process: subprocess.Popen[bytes], console: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError("qemu has ended")
        return booted.ssh("true", timeout=20) == ""

    try:
        eventually(answers, 240, f"{booted.host.name} answers over ssh")
    except (AssertionError, RuntimeError) as error:
        told = console.read_text(errors="replace")[-3000:] if console.exists() else ""
        raise AssertionError(f"{error}\nits console:\n{told}") from error


def _kernel(directory: Path) -> tuple[str, Path, Path]:
    """Version, image and modules of Debian's cloud kernel."""
    packages = Apt(CACHE, "bookworm").closure((KERNEL,))
    image = next(p for p in packages if p.name.startswith("linux-image-") and p.name != KERNEL)
    run(["dpkg-deb", "--extract", str(image.path), str(directory / "kernel")])
    kernel = next((directory / "kernel/boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    return version, kernel, directory / "kernel/lib/modules" / version


def _initrd(modules: Path) -> bytes:
    """An initial root file system: busybox and the drivers of disk and network, as a cpio archive."""
    files = {"init": INIT.encode(), "bin/busybox": Path(shutil.which("busybox") or "").read_bytes()}
    for number, name in enumerate((*MODULES, *NETWORK)):
        path = (modules / "kernel/drivers" / name).resolve()
        files[f"modules/{number:02}-{path.name}"] = path.read_bytes()
    archive = b"".join(_cpio(name, 0o040755, b"") for name in ("bin", "dev", "modules", "root"))
    archive += b"".join(_cpio(name, 0o100755, content) for name, content in files.items())
    return archive + _cpio("TRAILER!!!", 0, b"")


def _cpio(name: str, mode: int, content: bytes) -> bytes:
    """One member in the "newc" form."""
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def _make_disk(lab: Lab, host: Host, version: str, modules: Path, disk: Path) -> None:
    """The lab's base image with this host's name, key, address and kernel modules, on ext4."""
    stage = disk.with_name("stage")
    upper, work, root = (stage / name for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        directory.mkdir(parents=True)
    layers = f"lowerdir={base.ensure_base(LAB_DIR, host.suite)},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", "overlay", "-o", layers, str(root)])
    try:
        shutil.copytree(modules, root / "usr/lib/modules" / version, symlinks=True)
        run(["chroot", str(root), "depmod", version])
        (root / "etc/hostname").write_text(f"{host.name}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(ssh.key_path(Path(lab.dir)).with_suffix(".pub"), root / "root/.ssh/authorized_keys")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / "etc/ssh/ssh_host_ed25519_key")])
        unit = UNIT.format(address=host.address, prefix=lab.prefix_length, gateway=lab.gateway)
        (root / "etc/systemd/system/lab-network.service").write_text(unit)
        wants = root / "etc/systemd/system/sysinit.target.wants"
        (wants / "lab-network.service").symlink_to("../lab-network.service")
        run(["mkfs.ext4", "-q", "-F", "-d", str(root), str(disk), "8G"], timeout=300)
    finally:
        run(["umount", str(root)])
    shutil.rmtree(stage)


def wait_until_settled(booted: Machine, seconds: float = 120) -> None:
    """Return when systemd has started everything."""
    deadline = time.monotonic() + seconds
    while booted.ssh("systemctl is-system-running || true").strip() == "starting":
        assert time.monotonic() < deadline, f"{booted.host.name} is still starting"
        time.sleep(1)
