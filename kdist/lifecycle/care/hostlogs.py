"""What one host adds to a support bundle: logs, manifests, network state; changes nothing.

This file is sent to hosts and run there: standard library only. Its argument is a JSON request ``{"hours", "lines"}``;
it prints a JSON document of file name to text. Private keys and kubeconfigs are never read; what is read is redacted on
the operator's machine besides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

UNITS = ("kdist-agent", "containerd", "kdist-etcd-snapshot", "ssh")
COMMANDS = {
    "network/addresses.txt": ("ip", "address"),
    "network/links.txt": ("ip", "-details", "-statistics", "link"),
    "network/routes.txt": ("ip", "route", "show", "table", "all"),
    "network/rules.txt": ("ip", "rule"),
    "network/neighbours.txt": ("ip", "neighbour"),
    "network/forwarding.txt": ("bridge", "fdb"),
    "network/sockets.txt": ("ss", "--all", "--numeric", "--processes", "--tcp", "--udp"),
    "network/nftables.txt": ("nft", "list", "ruleset"),
    "network/conntrack.txt": ("conntrack", "--stats"),
    "system/disks.txt": ("df", "--human-readable", "--print-type"),
    "system/inodes.txt": ("df", "--inodes"),
    "system/mounts.txt": ("findmnt", "--list"),
    "system/memory.txt": ("free", "--mebi"),
    "system/processes.txt": ("ps", "-eo", "pid,ppid,user,stat,etime,rss,pcpu,comm"),
    "system/units.txt": ("systemctl", "list-units", "--all", "--no-pager"),
    "system/failed.txt": ("systemctl", "--failed", "--no-pager"),
    "system/sysctls.txt": ("sysctl", "--all"),
    "system/kernel.txt": ("dmesg", "--ctime"),
    "system/clock.txt": ("timedatectl", "status"),
    "system/packages.txt": ("dpkg-query", "--show"),
    "runtime/images.txt": ("ctr", "--namespace=k8s.io", "images", "ls"),
    "runtime/containers.txt": ("ctr", "--namespace=k8s.io", "containers", "ls"),
    "runtime/tasks.txt": ("ctr", "--namespace=k8s.io", "tasks", "ls"),
}
FILES = (
    "/etc/containerd/config.toml",
    "/etc/crictl.yaml",
    "/etc/hosts",
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/systemd/system/kdist-agent.service",
    "/var/lib/kdist/ledger/ledger.json",
    "/var/lib/kdist/bundle/manifest.json",
)
DIRECTORIES = ("/etc/kubernetes/manifests", "/etc/cni/net.d")
# One log that went wild must not fill the operator's disk.
LARGEST = 4 << 20


def run(*command: str) -> str:
    """Output of a command, errors included: why something is missing belongs into the bundle."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}\n"
    return (done.stdout + done.stderr)[-LARGEST:].decode(errors="replace")


def read(path: Path) -> str:
    """The end of a file."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - LARGEST))
            return stream.read().decode(errors="replace")
    except OSError as error:
        return f"{path}: {error}\n"


def collect(hours: int, lines: int) -> dict[str, str]:
    """Everything, by the name it gets in the bundle."""
    found = {name: run(*command) for name, command in COMMANDS.items()}
    for unit in UNITS:
        since = f"--since=-{hours}h"
        found[f"units/{unit}.log"] = run(
            "journalctl", f"--unit={unit}", since, f"--lines={lines}", "--no-pager", "--output=short-iso"
        )
    paths = [Path(name) for name in FILES]
    paths += [
        path for directory in DIRECTORIES for path in sorted(Path(directory).glob("[!.]*")) if path.is_file()
    ]
    found |= {f"files{path}": read(path) for path in paths if path.exists()}
    for log in sorted(Path("/var/log/pods").glob("kube-system_*/*/*.log")):
        pod, container, name = log.parts[-3:]
        found[f"pods/{pod}/{container}/{name}"] = "".join(read(log).splitlines(keepends=True)[-lines:])
    return found


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    json.dump(collect(request["hours"], request["lines"]), sys.stdout)
