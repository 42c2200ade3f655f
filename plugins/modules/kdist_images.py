#!/usr/bin/python
"""Import the bundle's images into containerd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_images
short_description: Import the bundle's images into containerd
description:
  - Imports only what containerd does not have yet.
options:
  bundle:
    description: The host's share of the bundle.
    type: str
    required: true
  role:
    description: Whose images.
    choices: [node, control-plane]
    type: str
    default: node
author: [kdist]
"""
EXAMPLES = r"""
- name: Import images
  kdist_images:
    bundle: /var/lib/kdist/bundle
"""
RETURN = r"""
imported:
  description: Names of the images that were (or, in check mode, would be) imported.
  returned: always
  type: list
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_ledger import Ledger

KDIST = Path("/opt/kdist/current/bin/kdist")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "bundle": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["node", "control-plane"], "default": "node"},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not KDIST.exists():  # an empty host: all of them are still to come
        module.exit_json(changed=True, imported=[])
    command = [str(KDIST), "bundle", "load", module.params["bundle"]]
    command += ["--role", module.params["role"]]
    code, out, err = module.run_command([*command, "--check"])
    imported = out.split()
    if code == 0 and imported and not module.check_mode:
        Ledger().images(imported)
        code, out, err = module.run_command(command)
    if code:
        module.fail_json(msg="the images cannot be imported", stderr=err[-2000:])
    module.exit_json(changed=bool(imported), imported=imported)


if __name__ == "__main__":
    main()
