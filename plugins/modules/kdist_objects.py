#!/usr/bin/python
"""Objects of the cluster as a role declares them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_objects
short_description: Keep objects of the cluster as given
description:
  - Creates what is missing and applies (server side) what differs, through the API server.
  - Needs the release installed on the host.
options:
  kubeconfig:
    description: Credentials.
    type: path
    default: /etc/kubernetes/super-admin.conf
  manifests:
    description: YAML documents, any number in a string.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds to wait for the API server.
    type: int
    default: 120
author: [kdist]
"""
EXAMPLES = r"""
- name: Apply add-ons
  kdist_objects:
    manifests: ["{{ lookup('ansible.builtin.template', 'dns.yaml.j2') }}"]
"""
RETURN = r"""
objects:
  description: What was created or changed.
  returned: always
  type: list
"""

import asyncio

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import use_release


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/super-admin.conf"},
            "manifests": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        use_release()
        from kdist.lifecycle import objects
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: all of it is still to come
            module.exit_json(changed=True, objects=[])
        module.fail_json(msg=str(error))
    params = module.params
    try:
        done = asyncio.run(
            objects.apply(params["kubeconfig"], params["manifests"], params["timeout"], module.check_mode)
        )
    except objects.Failed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), objects=done)


if __name__ == "__main__":
    main()
