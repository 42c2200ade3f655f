"""How one host boots: network, root file system and the systemd-nspawn command line. Pure.

The result is plain data, which :mod:`kdist.lab.supervisor` executes each time the host is switched on.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdist.lab.plan import BRIDGE, Host, Lab

# containerd cannot stack its overlay mounts on an overlay: these come from the machine's own file system.
PLAIN_DIRS = ("containerd", "kubelet")
# Remounts the root once per boot inside the mount namespace of nspawn, so that it is gone with the host.
MOUNT_AND_EXEC = 'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class BootPlan:
    """What the supervisor does: lines for ``ip -batch``, cgroups to enter, the command and its environment."""

    netns: str
    lab_netns: str
    interface: str
    lab_batch: tuple[str, ...]
    host_batch: tuple[str, ...]
    cgroups: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the plan file."""
        return asdict(self)


def interface(host: Host) -> str:
    """The host's cable as seen from the bridge: cutting and healing it is setting this link down and up."""
    return f"v-{host.name}"


def plan_boot(lab: Lab, host: Host, cgroups: list[Path]) -> BootPlan:
    """The plan of one host; ``cgroups`` is its cgroup in every hierarchy of the machine."""
    netns, cable = lab.host_netns(host), interface(host)
    return BootPlan(
        netns=netns,
        lab_netns=lab.netns,
        interface=cable,
        lab_batch=(
            f"link add {cable} type veth peer name eth0 netns {netns}",
            f"link set {cable} master {BRIDGE} up",
        ),
        host_batch=(
            "link set lo up",
            f"link set eth0 address {host.mac} up",
            f"addr add {host.address}/{lab.prefix_length} dev eth0",
            f"route add default via {lab.gateway}",
            *_ipv6(lab, host),
        ),
        cgroups=tuple(str(path) for path in cgroups),
        command=_command(lab, host),
        environment=_environment(host),
    )


def _ipv6(lab: Lab, host: Host) -> tuple[str, ...]:
    if not host.address6:
        return ()
    return (
        f"addr add {host.address6}/{lab.prefix_length6} dev eth0 nodad",
        f"route add default via {lab.gateway6}",
    )


def _command(lab: Lab, host: Host) -> tuple[str, ...]:
    path = lab.host_path(host)
    overlay = f"lowerdir={lab.bases[host.suite]},upperdir={path / 'upper'},workdir={path / 'work'}"
    root = str(path / "root")
    enter = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", MOUNT_AND_EXEC, "sh", overlay, root)
    return (*enter, *nspawn(lab, host))


def nspawn(lab: Lab, host: Host) -> tuple[str, ...]:
    """The systemd-nspawn command line of one host.

    All capabilities, because the host must be able to run containers itself; its own network namespace, made
    beforehand; no registration with machined, so that nothing but this process knows of the host.
    """
    path = lab.host_path(host)
    machine = lab.host_netns(host)
    binds = [f"--bind={device}" for device in ("/dev/fuse", "/dev/kmsg", "/dev/net/tun")]
    binds += [f"--bind={path / name}:/var/lib/{name}" for name in PLAIN_DIRS]
    return (
        "systemd-nspawn",
        "--quiet",
        f"--directory={path / 'root'}",
        f"--machine={machine}",
        f"--hostname={host.name}",
        f"--uuid={uuid.uuid5(uuid.NAMESPACE_DNS, machine)}",
        "--boot",
        "--register=no",
        "--keep-unit",
        f"--network-namespace-path=/run/netns/{machine}",
        "--capability=all",
        *binds,
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+3",
        "systemd.unit=multi-user.target",
    )


def _environment(host: Host) -> dict[str, str]:
    """Of nspawn: net.* sysctls writable, the machine-wide ones not; no system call filter (containers need all)."""
    environment = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network", "SYSTEMD_SECCOMP": "0"}
    if host.suite != "bookworm":
        # systemd 256 and later start on a cgroup v1 machine only when told to.
        environment["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE"] = "1"
    return environment
