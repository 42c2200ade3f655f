#!/usr/bin/python
"""Kernel modules and sysctls, now and after every boot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_kernel
short_description: Load kernel modules and set sysctls, now and at boot
description:
  - Writes /etc/modules-load.d/kdist.conf and /etc/sysctl.d/90-kdist.conf, loads what is not loaded, sets what differs.
  - A sysctl that this host may not set (a container as host) is reported in C(refused) and does not fail the task.
options:
  modules:
    description: Kernel modules. One that is built in counts as loaded.
    type: list
    elements: str
    required: true
  sysctls:
    description: Name to value.
    type: dict
    required: true
author: [kdist]
"""
EXAMPLES = r"""
- name: Prepare the kernel
  kdist_kernel:
    modules: [overlay, br_netfilter]
    sysctls: {net.ipv4.ip_forward: "1"}
"""
RETURN = r"""
refused:
  description: Sysctls that could not be set, with their present values.
  returned: always
  type: dict
"""

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file
from ansible.module_utils.kdist_ledger import Ledger

MODULES_FILE = Path("/etc/modules-load.d/kdist.conf")
SYSCTL_FILE = Path("/etc/sysctl.d/90-kdist.conf")


def is_loaded(name: str) -> bool:
    return Path("/sys/module", name).exists() or name in Path("/proc/filesystems").read_text().split()


def set_sysctl(name: str, value: str, check_mode: bool) -> tuple[bool, str | None]:
    """(changed, value that stays in force against our will)."""
    path = Path("/proc/sys", *name.split("."))
    if not path.exists():
        return False, "missing"
    present = path.read_text().strip()
    if present == value:
        return False, None
    try:
        with path.open("r+") as stream:
            if not check_mode:
                Ledger().sysctl(name, present)
                stream.write(value)
    except OSError:
        return False, present
    return True, None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "modules": {"type": "list", "elements": "str", "required": True},
            "sysctls": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    names, sysctls = module.params["modules"], module.params["sysctls"]
    changed, refused = False, {}
    files = {
        MODULES_FILE: "".join(f"{name}\n" for name in names),
        SYSCTL_FILE: "".join(f"{name} = {value}\n" for name, value in sysctls.items()),
    }
    for path, content in files.items():
        if not path.exists() or path.read_text() != content:
            changed = True
            if not module.check_mode:
                replace_file(path, content.encode(), 0o644)
    for name in names:
        if is_loaded(name):
            continue
        if not module.check_mode:
            Ledger().module(name)
        # In check mode modprobe only says whether it could; --first-time: what is built in is no change.
        options = ["--dry-run", "--first-time"] if module.check_mode else []
        command = ["modprobe", "--quiet", *options, name]
        done = subprocess.run(command, check=False, capture_output=True)
        changed = changed or (done.returncode == 0 if module.check_mode else is_loaded(name))
    for name, value in sysctls.items():
        done, stays = set_sysctl(name, str(value), module.check_mode)
        changed = changed or done
        if stays is not None:
            refused[name] = stays
    module.exit_json(changed=changed, refused=refused)


if __name__ == "__main__":
    main()
