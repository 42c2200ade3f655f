"""How to reach the hosts of a lab: one key pair per lab directory, connections through the lab's namespace."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from kdist.lab import connect
from kdist.lab.network import NETNS_DIR
from kdist.lab.plan import Host, Lab
from kdist.lab.process import run


def key_path(directory: Path) -> Path:
    """The private key that opens every host made below ``directory``."""
    return directory / "id_ed25519"


def ensure_key(directory: Path) -> Path:
    """The key, made on first use."""
    key = key_path(directory)
    if not key.exists():
        directory.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kdist-lab", "-f", str(key))
    return key


def options(lab: Lab) -> list[str]:
    """Arguments of ssh for every host of the lab. Host keys are as short-lived as the hosts: not remembered."""
    proxy = f"nsenter --net={NETNS_DIR / lab.netns} {sys.executable} -IS {connect.__file__} %h %p"
    chosen = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
        "ProxyUseFdpass": "yes",
        "ProxyCommand": proxy,
    }
    return [part for name, value in chosen.items() for part in ("-o", f"{name}={value}")]


def common_args(lab: Lab) -> str:
    """:func:`options` as one string, as Ansible's ``ansible_ssh_common_args`` takes them."""
    return shlex.join(options(lab))


def command(lab: Lab, host: Host, argv: tuple[str, ...]) -> list[str]:
    """The ssh command line that runs ``argv`` on the host, or a login shell when there is none."""
    key = str(key_path(Path(lab.dir)))
    return ["ssh", "-i", key, *options(lab), f"root@{host.address}", *argv]
