"""Observe a host: tell the module which other hosts it reaches for, and time its answer."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from kdist.lifecycle import spec, surroundings


class ActionModule(ActionBase):
    """``kdist_preflight:`` without arguments; the inventory has them all."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        groups, name = variables["groups"], variables["inventory_hostname"]
        planes = list(groups.get(spec.CONTROL_PLANE_GROUP, ()))
        hosts = list(dict.fromkeys([*planes, *groups.get(spec.NODE_GROUP, ())]))
        targets = surroundings.targets(name, hosts, planes)
        given = variables.get("kdist_upstream_dns")
        arguments = {
            "peers": {peer: _address(peer, variables["hostvars"][peer]) for peer in targets},
            "control_plane": name in planes,
            "name_servers": [str(server) for server in given] if isinstance(given, list) else [],
        }
        sent = time.time()
        answer = self._execute_module("kdist_preflight", module_args=arguments, task_vars=variables)
        observation = answer.get("observation")
        if observation:
            observation["clock"] = [observation["time"] - time.time(), observation["time_began"] - sent]
        return result | answer


def _address(name: str, variables: Any) -> str:
    address = str(variables.get("kdist_node_ip") or variables.get("ansible_host") or name)
    return address.partition(",")[0].strip()  # the IPv6 address of dual stack comes second
