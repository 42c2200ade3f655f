"""What a host is, written by a program that runs on it: compared before an installation and after a reset.

This file is sent to the host and run there with the system's Python: standard library only. What is left out is
listed with its reason, because a list without reasons grows until the comparison says nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

LEFT_OUT = {
    "/proc": "of the kernel",
    "/sys": "of the kernel; cgroups are compared apart",
    "/dev": "of the kernel",
    "/tmp": "anybody's",
    "/var/tmp": "anybody's",
    "/var/log": "logs stay, on purpose; directories in it are compared",
    "/var/cache/ldconfig/aux-cache": "ldconfig notes inode numbers in it",
    "/var/cache/debconf": "debconf rewrites its databases whenever dpkg runs",
    "/var/lib/dpkg": "dpkg reorders its database; the packages are compared",
    "/var/lib/systemd/random-seed": "new at every boot",
    "/var/lib/systemd/timers": "stamps of the system's own timers; ours are compared",
    "/run/systemd": "systemd's own state; units are compared",
    "/run/udev": "udev's database of devices",
    "/run/log": "the journal",
    "/run/lock": "anybody's",
    "/run/utmp": "sessions",
    "/run/user": "sessions",
    "/run/motd.dynamic": "sessions",
    "/run/sudo": "sessions",
    "/run/ufw.lock": "anybody's",
}
CONTENT_LEFT_OUT = {
    "/etc/ld.so.cache": "ldconfig writes it in the order in which it finds libraries",
    "/etc/resolv.conf": "may be written by the network's own tools",
}


def left_out(path: str) -> bool:
    return any(path == known or path.startswith(known + "/") for known in LEFT_OUT)


def entry(path: str) -> list[object]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    content = ""
    if kind == stat.S_IFLNK:
        content = str(Path(path).readlink())
    elif kind == stat.S_IFREG and path not in CONTENT_LEFT_OUT:
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return [oct(status.st_mode), status.st_uid, status.st_gid, content]


def files() -> dict[str, list[object]]:
    found = {}
    for directory, names, others in os.walk("/"):
        names[:] = [name for name in names if not left_out(f"{directory.rstrip('/')}/{name}")]
        for name in names + others:
            path = f"{directory.rstrip('/')}/{name}"
            if not left_out(path):
                try:
                    found[path] = entry(path)
                except FileNotFoundError:
                    continue  # a socket or a process's file that has just gone
    for path in Path("/var/log").rglob("*"):
        if path.is_dir() and "journal" not in path.parts:
            found[str(path)] = entry(str(path))
    return found


def lines(*command: str) -> list[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()


def sysctls() -> dict[str, str]:
    # Counters and random values are not settings; what belongs to one interface goes with it.
    noise = re.compile(
        r"random|\.stable_secret|nf_conntrack_(count|generic)|\.neigh\.|\.conf\.(?!all|default)|fs\.|kernel\.(ns_last|pty)"
    )
    pairs = (line.split(" = ", 1) for line in lines("sysctl", "-a") if " = " in line)
    return {
        name: value
        for name, value in pairs
        if name.startswith(("net.", "vm.overcommit", "kernel.panic")) and not noise.search(name)
    }


def state() -> dict[str, object]:
    return {
        "files": files(),
        "mounts": sorted(
            {" ".join(line.split()[:3]) for line in Path("/proc/mounts").read_text().splitlines()}
        ),
        "units": sorted(lines("systemctl", "list-unit-files", "--no-legend", "--plain")),
        "services": sorted(
            line.split()[0]
            for line in lines(
                "systemctl", "list-units", "--no-legend", "--plain", "--type=service,timer,socket,mount"
            )
            if not line.startswith(("user", "session", "systemd-", "run-credentials"))
        ),
        "stamps": sorted(path.name for path in Path("/var/lib/systemd/timers").glob("stamp-kdist*")),
        "packages": lines("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"),
        "sysctls": sysctls(),
        "links": sorted(re.sub(r"^\d+: |@.*?:|qlen \d+", "", line) for line in lines("ip", "-o", "link")),
        "addresses": sorted(" ".join(line.split()[1:4]) for line in lines("ip", "-o", "addr")),
        "routes": sorted(lines("ip", "route", "show", "table", "all")),
        "rules": sorted(lines("ip", "rule")),
        "cgroups": sorted(
            str(path)
            for path in Path("/sys/fs/cgroup").rglob("*")
            if path.is_dir() and re.search(r"kubepods|kdist|containerd|cri-", str(path))
        ),
        "users": [Path("/etc/passwd").read_text(), Path("/etc/group").read_text()],
        "processes": sorted(
            {
                line.strip()
                for line in lines("ps", "-eo", "comm=")
                if "kdist" in line or "containerd" in line or "etcd" in line
            }
        ),
    }


if __name__ == "__main__":
    json.dump(state(), sys.stdout)
