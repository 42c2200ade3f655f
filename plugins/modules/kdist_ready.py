#!/usr/bin/python
"""Wait until the cluster is what it should be, and say what is missing when it is not."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_ready
short_description: Wait for API server, nodes and workloads
description:
  - Waits until the API server is ready, the named nodes are Ready and the system's workloads are available.
  - On failure names what is not ready with the reason the cluster itself gives.
  - Needs the release installed on the host.
options:
  kubeconfig:
    description: Credentials.
    type: path
    default: /etc/kubernetes/super-admin.conf
  nodes:
    description: Nodes that must be Ready.
    type: list
    elements: str
    default: []
  workloads:
    description: Wait for Deployments and DaemonSets of kube-system.
    type: bool
    default: false
  timeout:
    description: Seconds.
    type: int
    default: 120
author: [kdist]
"""
EXAMPLES = r"""
- name: Wait for the cluster
  kdist_ready:
    nodes: [cp1, w1]
    workloads: true
"""
RETURN = r"""
waited:
  description: Seconds it took.
  returned: always
  type: float
"""

import asyncio

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/super-admin.conf"},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "workloads": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, waited=0.0)
    params = module.params
    try:
        use_release()
        from kdist.lifecycle import objects
    except (FileNotFoundError, ImportError) as error:
        module.fail_json(msg=str(error))
    try:
        waited = asyncio.run(
            objects.wait_ready(params["kubeconfig"], params["nodes"], params["workloads"], params["timeout"])
        )
    except objects.Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, waited=waited)


if __name__ == "__main__":
    main()
