#!/usr/bin/python
"""The door by which hosts join: opened for a run, closed behind them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_bootstrap
short_description: Let hosts join by a bootstrap token, for as long as it takes
description:
  - C(open) keeps what joining hosts may do and ConfigMap cluster-info as they should be, and makes the token valid.
  - C(closed) ends the token and waits until the hosts are Ready.
  - C(explained) fails with the reason why hosts have no certificate.
  - For a control-plane host. Needs the release installed on it.
options:
  state:
    description: Which of the three.
    choices: [open, closed, explained]
    type: str
    required: true
  hosts:
    description: Names of the hosts that join.
    type: list
    elements: str
    default: []
  token:
    description: The token they were given; none when nobody joins.
    type: str
  servers:
    description: URLs of the API servers, for cluster-info.
    type: list
    elements: str
    default: []
  vip:
    description: URL that always leads to a living API server; none when there is none.
    type: str
  kubeconfig:
    description: Credentials.
    type: path
    default: /etc/kubernetes/super-admin.conf
  authority:
    description: Certificate of the cluster's authority.
    type: path
    default: /etc/kubernetes/pki/ca.crt
  timeout:
    description: Seconds to wait for the API server, and for the hosts.
    type: int
    default: 300
author: [kdist]
"""
EXAMPLES = r"""
- name: Let new hosts in
  kdist_bootstrap:
    state: open
    hosts: [w3]
    token: "{{ token }}"
    servers: ["https://10.0.0.1:6443"]
"""
RETURN = r"""
objects:
  description: For C(open), what was created or changed.
  returned: state is open
  type: list
"""

import asyncio
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release


def open_door(module, door, trust):
    params = module.params
    authority = Path(params["authority"]).read_bytes()
    info = trust.cluster_info(authority, params["servers"], params["vip"])
    done = asyncio.run(
        door.open_door(
            params["kubeconfig"], info, params["token"], params["hosts"], params["timeout"], module.check_mode
        )
    )
    return {"changed": bool(done), "objects": done}


def close_door(module, door, trust):
    params = module.params
    if module.check_mode or not params["token"]:
        return {"changed": bool(params["token"])}
    waited = asyncio.run(
        door.close_door(params["kubeconfig"], params["token"], params["hosts"], params["timeout"])
    )
    return {"changed": True, "waited": waited}


def explain(module, door, trust):
    told = asyncio.run(door.explain(module.params["kubeconfig"], module.params["hosts"]))
    module.fail_json(msg="No certificate for:\n" + "\n".join(told))
    return {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["open", "closed", "explained"], "required": True},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "token": {"type": "str", "no_log": True},
            "servers": {"type": "list", "elements": "str", "default": []},
            "vip": {"type": "str"},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/super-admin.conf"},
            "authority": {"type": "path", "default": "/etc/kubernetes/pki/ca.crt"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        use_release()
        from kdist.lifecycle.join import door, trust
        from kdist.lifecycle.objects import Failed
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: all of it is still to come
            module.exit_json(changed=True, objects=[])
        module.fail_json(msg=str(error))
    steps = {"open": open_door, "closed": close_door, "explained": explain}
    try:
        module.exit_json(**steps[module.params["state"]](module, door, trust))
    except (Failed, OSError) as error:
        if module.check_mode and isinstance(error, FileNotFoundError):
            module.exit_json(changed=True, objects=[])
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
