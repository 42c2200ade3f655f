"""The Ansible inventory of a lab, in the groups any inventory of a cluster has. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kdist.lab import ssh
from kdist.lab.plan import Lab

HEADER = "# Written by `kdist lab up`; gone with `kdist lab down`.\n"


def render(lab: Lab) -> str:
    """hosts.yml: how to reach each host, and which are control plane, etcd members and workers."""
    members: dict[str, dict[str, Any]] = {
        host.name: {"ansible_host": host.address}
        # The node's addresses, where there are two.
        | ({"kdist_node_ip": host.addresses} if host.address6 else {})
        for host in lab.hosts
    }
    control_plane: dict[str, Any] = {host.name: {} for host in lab.hosts if host.control_plane}
    workers: dict[str, Any] = {host.name: {} for host in lab.hosts if not host.control_plane}
    inventory = {
        "all": {
            "hosts": members,
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(ssh.key_path(Path(lab.dir))),
                "ansible_ssh_common_args": ssh.common_args(lab),
                "ansible_python_interpreter": "/usr/bin/python3",
                # A host that is itself a container may not lower OOM scores.
                "kdist_containerd_restrict_oom_score_adj": True,
            },
            "children": {
                "kube_control_plane": {"hosts": control_plane},
                "etcd": {"hosts": control_plane},
                "kube_node": {"hosts": workers},
                "k8s_cluster": {"children": {"kube_control_plane": {}, "kube_node": {}}},
            },
        }
    }
    return HEADER + yaml.dump(
        inventory, sort_keys=False, default_flow_style=False, width=1000, Dumper=_NoAliases
    )


class _NoAliases(yaml.SafeDumper):
    """Writes shared values out in full: the file is read by people too."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        return True
