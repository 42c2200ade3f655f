#!/usr/bin/python
"""The host's share of the bundle: say what is missing, take in what was sent. Standard library only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_bundle
short_description: Keep this host's share of the bundle complete
description:
  - The action plug-in of the same name calls this module twice, to ask what is missing and to take in what it sent.
  - Every file that arrives is checked against its sha256 before it is put in place; files of former bundles go.
options:
  source:
    description: Directory of the bundle on the operator's machine.
    type: path
    required: true
  dest:
    description: Where the share is kept on the host.
    type: path
    default: /var/lib/kdist/bundle
  files:
    description: Files of this host's share, path to sha256 and size.
    type: dict
    required: true
  arrived:
    description: Directory with the missing files, or tar file of them, that the action plug-in sent.
    type: path
author: [kdist]
"""
EXAMPLES = r"""
- name: Send the bundle
  kdist_bundle:
    source: /srv/bundle
    files: "{{ spec.manifest.files }}"
"""
RETURN = r"""
missing:
  description: Files that this host does not have yet.
  returned: always
  type: list
"""

import hashlib
import shutil
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_ledger import Ledger

SMALL = 1 << 20


def is_whole(path: Path, entry: dict) -> bool:
    # Large files were checked when they arrived and carry version or digest in their names: size tells the rest.
    if not path.is_file() or path.stat().st_size != entry["size"]:
        return False
    return entry["size"] > SMALL or digest(path) == entry["sha256"]


def unpacked(arrived: Path) -> Path:
    """The directory with what arrived."""
    if arrived.is_dir():
        return arrived
    partial = arrived.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with tarfile.open(arrived) as tar:
        tar.extractall(partial, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(partial)
    arrived.unlink()
    return partial


def digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def take_in(module: AnsibleModule, dest: Path, files: dict[str, dict], missing: list[str]) -> None:
    partial = unpacked(Path(module.params["arrived"]))
    wrong = []
    for name in missing:
        arrived = partial / name
        if not arrived.is_file():
            wrong.append(f"{name} did not arrive")
        elif digest(arrived) != files[name]["sha256"]:
            wrong.append(f"{name} does not match its checksum")
    if wrong:
        module.fail_json(msg="the bundle did not arrive whole: " + "; ".join(wrong))
    for name in missing:
        target = dest / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(partial / name, target)  # what Ansible sent itself may lie in another file system
    shutil.rmtree(partial)


def superfluous(dest: Path, files: dict[str, dict]) -> list[Path]:
    known = set(files)
    return [path for path in dest.rglob("*") if path.is_file() and str(path.relative_to(dest)) not in known]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "dest": {"type": "path", "default": "/var/lib/kdist/bundle"},
            "files": {"type": "dict", "required": True},
            "arrived": {"type": "path"},
        },
        supports_check_mode=True,
    )
    dest, files = Path(module.params["dest"]), module.params["files"]
    missing = [name for name, entry in files.items() if not is_whole(dest / name, entry)]
    extra = superfluous(dest, files)
    if not module.check_mode:
        Ledger().begin()  # this is the first module that changes a host
        if missing and module.params["arrived"]:
            take_in(module, dest, files, missing)
        for path in extra:
            path.unlink()
    module.exit_json(changed=bool(missing or extra), missing=missing)


if __name__ == "__main__":
    main()
