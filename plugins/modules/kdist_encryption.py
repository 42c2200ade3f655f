#!/usr/bin/python
"""The keys with which API servers encrypt objects in etcd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_encryption
short_description: Keep the EncryptionConfiguration that control planes share
description:
  - Makes the file with a new key where there is none; a file that is there keeps its keys.
  - An empty list of resources makes no file; where there is one, what is written from now on is not encrypted any
    more and what was encrypted can still be read.
  - Keys are exchanged with C(kdist encryption), never by this module. A file written by hand is left as it is.
  - Needs the release on the host.
options:
  path:
    description: The file.
    type: path
    required: true
  resources:
    description: Resources to encrypt, as the file names them.
    type: list
    elements: str
    required: true
author: [kdist]
"""
EXAMPLES = r"""
- name: Keep the keys
  kdist_encryption:
    path: /etc/kubernetes/pki/encryption.yaml
    resources: [secrets]
  no_log: true
"""
RETURN = r"""
configured:
  description: Whether API servers have such a file.
  returned: always
  type: bool
content:
  description: The file; empty when there is none, or in check mode not yet.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file, use_release


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "resources": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    path, resources = Path(module.params["path"]), module.params["resources"]
    before = path.read_text() if path.exists() else None
    try:
        use_release()
        from kdist.lifecycle.encryptionconfig import NotOurs, converge
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: the file is still to come
            module.exit_json(changed=bool(resources), configured=bool(resources), content="")
        module.fail_json(msg=str(error))
    try:
        wanted = converge(before, resources)
    except NotOurs:
        wanted = before
    except (ValueError, KeyError, TypeError) as error:
        module.fail_json(msg=f"{path} cannot be used: {error}")
    changed = wanted != before
    if changed and wanted is not None and not module.check_mode:
        replace_file(path, wanted.encode(), 0o600)
    shown = wanted if not module.check_mode or before is not None else None
    module.exit_json(changed=changed, configured=wanted is not None, content=shown or "")


if __name__ == "__main__":
    main()
