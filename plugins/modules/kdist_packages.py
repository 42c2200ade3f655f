#!/usr/bin/python
"""Install the bundle's Debian packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_packages
short_description: Install Debian packages from the bundle on this host
description:
  - Installs the packages whose installed version is not the one named, in one run of dpkg.
  - Configuration files that are there already are kept.
options:
  packages:
    description: Package to version.
    type: dict
    required: true
  directories:
    description: Where the .deb files are.
    type: list
    elements: str
    required: true
author: [kdist]
"""
EXAMPLES = r"""
- name: Install packages
  kdist_packages:
    packages: {runc: 1.1.5+ds1-1+deb12u1}
    directories: [/var/lib/kdist/bundle/debs/bookworm/node]
"""
RETURN = r"""
installed:
  description: Packages that were (or, in check mode, would be) installed.
  returned: always
  type: list
"""

import os
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_ledger import Ledger


def installed() -> dict[str, str]:
    form = "${Package} ${Version} ${db:Status-Status}\n"
    out = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in out.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def archive_of(name: str, directories: list[str]) -> str | None:
    for directory in directories:
        for path in sorted(Path(directory).glob(f"{name}_*.deb")):
            return str(path)
    return None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "dict", "required": True},
            "directories": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    present = installed()
    missing = [name for name, version in module.params["packages"].items() if present.get(name) != version]
    if not missing or module.check_mode:
        module.exit_json(changed=bool(missing), installed=missing)
    archives = {name: archive_of(name, module.params["directories"]) for name in missing}
    if absent := [name for name, archive in archives.items() if archive is None]:
        module.fail_json(msg=f"no .deb of {', '.join(absent)} in {', '.join(module.params['directories'])}")
    Ledger().packages({name: present.get(name) for name in missing})
    command = ["dpkg", "--force-confold", "--force-unsafe-io", "--install", *archives.values()]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        module.fail_json(msg=f"dpkg ended with {done.returncode}", stderr=done.stderr[-2000:])
    module.exit_json(changed=True, installed=missing)


if __name__ == "__main__":
    main()
