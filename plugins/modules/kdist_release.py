#!/usr/bin/python
"""Unpack a kdist release beside the others and make it the current one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_release
short_description: Install a kdist release on this host
description:
  - Releases live side by side in /opt/kdist/VERSION; C(current) is a link, so going back is a link too.
  - With I(current) false it is only unpacked, for a change that is to be quick later.
  - An interrupted unpacking is begun again; a complete release of the same content is left alone.
options:
  version:
    description: Version of the release.
    type: str
    required: true
  layers:
    description: Tar files whose paths begin with opt/kdist/current, in order.
    type: list
    elements: str
    required: true
  current:
    description: Whether the release becomes the current one.
    type: bool
    default: true
author: [kdist]
"""
EXAMPLES = r"""
- name: Install the release
  kdist_release:
    version: 0.1.0
    layers: [/var/lib/kdist/bundle/images/blobs/sha256/4f1c]
"""
RETURN = r"""
version:
  description: Version that is current now.
  returned: always
  type: str
previous:
  description: Version that was current before, empty when none was.
  returned: always
  type: str
"""

import json
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file
from ansible.module_utils.kdist_ledger import Ledger

ROOT = Path("/opt/kdist")


def unpack(target: Path, layers: list[str], identity: str) -> None:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for layer in layers:
        command = ["tar", "-x", "--strip-components=3", "-C", str(partial), "-f", layer, "opt/kdist/current"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    replace_file(partial / ".layers", identity.encode(), 0o644)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def make_current(version: str) -> None:
    temporary = ROOT / ".current.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version)
    temporary.replace(ROOT / "current")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "layers": {"type": "list", "elements": "str", "required": True},
            "current": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    version, layers = module.params["version"], module.params["layers"]
    target, link = ROOT / version, ROOT / "current"
    identity = json.dumps([Path(layer).name for layer in layers])
    marker = target / ".layers"
    complete = marker.exists() and marker.read_text() == identity
    previous = str(link.readlink()) if link.is_symlink() else ""
    becomes_current = module.params["current"] and previous != version
    changed = not complete or becomes_current
    if changed and not module.check_mode:
        Ledger().begin()
        try:
            if not complete:
                unpack(target, layers, identity)
        except subprocess.CalledProcessError as error:
            module.fail_json(msg=f"cannot unpack release {version}: {error.stderr.strip()}")
        if becomes_current:
            make_current(version)
    module.exit_json(changed=changed, previous=previous, version=version)


if __name__ == "__main__":
    main()
