#!/usr/bin/python
"""Observe what a host is and has, for the judgement of kdist.lifecycle.preflight. Standard library only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_preflight
short_description: Observe a host before anything is changed
description:
  - Collects operating system, resources, ports, addresses, kernel features and earlier installations in one go.
  - Changes nothing; check mode is the same as normal mode.
  - The action plug-in of the same name fills the options in from the inventory, and adds to the observation how far
    this host's clock is from the operator's (C(clock), seconds, at least and at most).
options:
  peers:
    description: Other hosts to reach, name to address.
    type: dict
    default: {}
  control_plane:
    description: Measure the disk that etcd will write to, unless it has data already.
    type: bool
    default: false
  name_servers:
    description: Name servers to ask besides those of the host.
    type: list
    elements: str
    default: []
author: [kdist]
"""
EXAMPLES = r"""
- name: Observe
  kdist_preflight:
  register: observed
"""
RETURN = r"""
observation:
  description: What was found.
  returned: always
  type: dict
  contains:
    os_id: {description: ID of os-release, type: str}
    listeners: {description: "TCP ports in use: port, process, ours", type: list}
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils import kdist_probes as probes
from ansible.module_utils.basic import AnsibleModule

FOREIGN_SERVICES = ("kubelet", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "k0scontroller", "k0sworker")
SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "net/ipv4/ip_forward")


MANIFESTS = "/etc/kubernetes/manifests"
API_SERVER = f"{MANIFESTS}/kube-apiserver.yaml"
# What a cluster cannot change once its objects have addresses and names: key of the cluster file → where it is told.
FOUNDED_ON = {
    "pod_cidr": (f"{MANIFESTS}/kube-controller-manager.yaml", "cluster-cidr"),
    "node_cidr_mask_size": (f"{MANIFESTS}/kube-controller-manager.yaml", "node-cidr-mask-size"),
    "node_cidr_mask_size_ipv6": (f"{MANIFESTS}/kube-controller-manager.yaml", "node-cidr-mask-size-ipv6"),
    "service_cidr": (API_SERVER, "service-cluster-ip-range"),
    "dns_domain": ("/etc/systemd/system/kdist-agent.service", "cluster-domain"),
}


def os_release() -> dict[str, str]:
    pairs = re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.M)
    return dict(pairs)


def meminfo(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


def cgroup_controllers() -> tuple[int, list[str]]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return 2, unified.read_text().split()
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    known = [name for name, _, _, enabled in rows if enabled == "1"]
    # A controller without a mounted hierarchy is of no use to anybody.
    return 1, [name for name in known if Path("/sys/fs/cgroup", name).is_dir()]


def process_of_sockets() -> dict[str, str]:
    """Socket inode to command line, for every process that can be read."""
    owners = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            descriptors = list((entry / "fd").iterdir())
        except OSError:
            continue  # the process has ended meanwhile
        for descriptor in descriptors:
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue  # closed meanwhile, as a busy server does all the time
            if target.startswith("socket:["):
                owners[target[8:-1]] = command
    return owners


def listeners(installed: bool) -> list[dict[str, object]]:
    # Sockets first: whoever holds one of them was there before its process is looked for.
    sockets = dict(listening("/proc/net/tcp")) | dict(listening("/proc/net/tcp6"))
    owners = process_of_sockets()
    found = {}
    for inode, port in sockets.items():
        command = owners.get(inode, "")
        ours = installed and any(word in command for word in ("kdist", "etcd"))
        found[port] = {"port": port, "process": command[:120], "ours": ours}
    return list(found.values())


def listening(table: str) -> Iterator[tuple[str, int]]:
    """Inode and port of every listening socket of a table of the kernel's."""
    if not Path(table).exists():
        return
    for line in Path(table).read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":  # LISTEN
            yield fields[9], int(fields[1].rsplit(":", 1)[1], 16)


def addresses() -> list[str]:
    out = subprocess.run(["ip", "-o", "addr", "show"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"inet6? ([0-9a-f.:]+)", out)


def foreign_services() -> list[str]:
    units = [f"{name}.service" for name in FOREIGN_SERVICES]
    out = subprocess.run(
        ["systemctl", "is-active", *units], check=False, capture_output=True, text=True
    ).stdout
    return [name for name, state in zip(FOREIGN_SERVICES, out.split(), strict=False) if state == "active"]


def read_only_sysctls() -> list[str]:
    return [name.replace("/", ".") for name in SYSCTLS if not os.access(f"/proc/sys/{name}", os.W_OK)]


def current_release() -> str:
    """The version in use; empty on a host without kdist."""
    link = Path("/opt/kdist/current")
    return link.readlink().name if link.is_symlink() else ""


def told(file: str, flag: str) -> str:
    """The value of a flag that this host's parts are told; empty where there is none."""
    path = Path(file)
    found = re.search(rf"--{flag}=([^\s\"']+)", path.read_text()) if path.exists() else None
    return found[1] if found else ""


def observe(params: dict) -> dict[str, object]:
    began = time.time()
    release = os_release()
    version, controllers = cgroup_controllers()
    installed = Path("/opt/kdist/current").exists()
    has_etcd_data = Path("/var/lib/etcd/member").exists()
    # A running etcd counts by itself how long its disk takes, and must not be slowed down.
    measured = params["control_plane"] and not has_etcd_data
    return {
        "os_id": release.get("ID", "unknown"),
        "os_version": release.get("VERSION_ID", "unknown"),
        "hostname": socket.gethostname(),
        "architecture": os.uname().machine,
        "init": Path("/proc/1/comm").read_text().strip(),
        "user_id": os.getuid(),
        "memory_total": meminfo("MemTotal"),
        "swap_total": meminfo("SwapTotal"),
        "memory_available": meminfo("MemAvailable"),
        "disks": probes.disks(),
        "features": probes.features(),
        "names": probes.names(params["name_servers"]),
        "peers": probes.peers(params["peers"]),
        "cgroup_version": version,
        "cgroup_controllers": controllers,
        "listeners": listeners(installed),
        "addresses": addresses(),
        "foreign_services": foreign_services(),
        "read_only_sysctls": read_only_sysctls(),
        "installed": installed,
        "release": current_release(),
        "api_level": told(API_SERVER, "api-level"),
        "founded_on": {key: value for key, (file, flag) in FOUNDED_ON.items() if (value := told(file, flag))},
        "has_authority": Path("/etc/kubernetes/pki/ca.key").exists(),
        "has_etcd_data": has_etcd_data,
        "sync_latency": probes.sync_latency("/var/lib/etcd") if measured else None,
        "time_began": began,
        "time": time.time(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "peers": {"type": "dict", "default": {}},
            "control_plane": {"type": "bool", "default": False},
            "name_servers": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, observation=observe(module.params))


if __name__ == "__main__":
    main()
