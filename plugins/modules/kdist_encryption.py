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
  - Keys are exchanged step by step with C(kdist encryption rotate), never without being asked. A file written by hand
    is left as it is.
  - Needs the release on the host.
options:
  path:
    description: The file.
    type: path
    required: true
  step:
    description:
      - A step of the exchange of keys, which C(kdist encryption rotate) asks for. One that was taken before changes
        nothing. Without it, the keys stay as they are.
    choices: [add, promote, remove]
    type: str
  loaded_by:
    description: Instead of all else, wait until the API server at this URL uses the file.
    type: str
  timeout:
    description: Seconds to wait for that.
    type: int
    default: 60
  resources:
    description: Resources to encrypt, as the file names them.
    type: list
    elements: str
    default: []
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

import hashlib
import time
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file, use_release

METRIC = "apiserver_encryption_config_controller_last_config_info"


def wait(module, content):
    """End the module when the API server uses the file, or when it does not in time."""
    if module.check_mode:
        module.exit_json(changed=False, configured=True, content="")
    from kdist.client import kubeconfig

    url, deadline = module.params["loaded_by"], time.monotonic() + module.params["timeout"]
    tls = kubeconfig.load(Path("/etc/kubernetes/super-admin.conf")).tls
    wanted = f'hash="sha256:{hashlib.sha256(content.encode()).hexdigest()}"'
    told = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/metrics", context=tls, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            told = " ".join(line for line in lines if line.startswith(METRIC + "{"))
            if wanted in told and told.count(METRIC) == 1:
                module.exit_json(changed=False, configured=True, content="")
        except OSError as error:
            told = str(error)
        time.sleep(1)
    module.fail_json(
        msg=f"the API server at {url} does not use {module.params['path']} yet: {told or 'it tells none'}"
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "resources": {"type": "list", "elements": "str", "default": []},
            "step": {"type": "str", "choices": ["add", "promote", "remove"]},
            "loaded_by": {"type": "str"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    path, resources = Path(module.params["path"]), module.params["resources"]
    before = path.read_text() if path.exists() else None
    try:
        use_release()
        from kdist.lifecycle.encryptionconfig import NotOurs, advance, converge
    except (FileNotFoundError, ImportError) as error:
        if module.check_mode:  # an empty host: the file is still to come
            module.exit_json(changed=bool(resources), configured=bool(resources), content="")
        module.fail_json(msg=str(error))
    if module.params["loaded_by"]:
        wait(module, before or "")
    try:
        if module.params["step"]:
            if before is None:
                module.fail_json(
                    msg=f"{path} does not exist: nothing is encrypted, so there is no key to exchange"
                )
            wanted = advance(before, module.params["step"])
        else:
            wanted = converge(before, resources)
    except NotOurs as error:
        if module.params["step"]:
            module.fail_json(msg=f"{path}: {error}")
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
