#!/usr/bin/python
"""Static pods' manifests, changed on a running control plane only while the others serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_manifests
short_description: Keep static pods' manifests, one control plane after the other
description:
  - Writes every manifest that differs, atomically.
  - With I(peers) and where the manifests were there before, it first waits until etcd and API server of the peers
    answer, and afterwards until those of this host run as the manifests say. Run it with C(throttle=1) then.
  - When the peers do not answer nothing is changed. So what breaks one control plane does not reach the next.
  - Where this host does not serve by itself, its manifests are written at once and nothing is waited for.
  - Needs the release installed on the host.
options:
  files:
    description: Path to content.
    type: dict
    required: true
  mode:
    description: Mode of the files.
    type: str
    default: "0600"
  peers:
    description: Name to address of the other control planes that this run changes; none on a cluster that is new.
    type: dict
    default: {}
  address:
    description: Address of this host.
    type: str
    required: true
  api_port:
    description: Port of the API servers.
    type: int
    default: 6443
  timeout:
    description: Seconds for each of the two waits.
    type: int
    default: 180
author: [kdist]
"""
EXAMPLES = r"""
- name: Write the manifests
  kdist_manifests:
    files: {/etc/kubernetes/manifests/etcd.yaml: "..."}
    address: 10.0.0.1
    peers: {cp2: 10.0.0.2, cp3: 10.0.0.3}
  throttle: 1
"""
RETURN = r"""
written:
  description: Paths that were written.
  returned: always
  type: list
waited:
  description: Seconds.
  returned: always
  type: float
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file, use_release


def current(path):
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None, None


def until_nothing(told, seconds):
    """Wait until there is nothing to tell; what there still is at the end."""
    deadline = time.monotonic() + seconds
    while (found := told()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "mode": {"type": "str", "default": "0600"},
            "peers": {"type": "dict", "default": {}},
            "address": {"type": "str", "required": True},
            "api_port": {"type": "int", "default": 6443},
            "timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    params, mode = module.params, int(module.params["mode"], 8)
    before = {name: current(Path(name)) for name in params["files"]}
    wrong = {name: text for name, text in params["files"].items() if before[name] != (text, mode)}
    told = [
        {"before": before[name][0] or "", "after": text, "before_header": name, "after_header": name}
        for name, text in wrong.items()
    ]
    result = {"changed": bool(wrong), "written": list(wrong), "diff": told, "waited": 0.0}
    if not wrong or module.check_mode:
        module.exit_json(**result)
    changed = [Path(name) for name, text in wrong.items() if before[name][0] != text]
    runs = any(content for content, _ in before.values())
    rolls = bool(changed and runs and params["peers"]) and serves(module)
    began = time.monotonic()
    if rolls:
        wait_for_peers(module)
    for name, text in wrong.items():
        replace_file(Path(name), text.encode(), mode)
    if rolls:
        wait_for_own(module, changed)
    module.exit_json(**{**result, "waited": time.monotonic() - began})


def serves(module):
    try:
        use_release()
        from kdist.lifecycle import rolling
    except (FileNotFoundError, ImportError) as error:
        module.fail_json(msg=str(error))
    return not rolling.ill(module.params["address"], module.params["api_port"])


def wait_for_peers(module):
    from kdist.lifecycle import rolling

    params = module.params
    told = until_nothing(lambda: rolling.silent(params["peers"], params["api_port"]), params["timeout"])
    if told:
        module.fail_json(
            msg="nothing is changed here while other control planes do not serve: " + "; ".join(told),
            written=[],
        )


def wait_for_own(module, changed):
    from kdist.lifecycle import rolling

    params = module.params
    told = until_nothing(
        lambda: rolling.behind(changed, params["address"], params["api_port"]), params["timeout"]
    )
    if told:
        module.fail_json(
            msg=f"changed {', '.join(str(path) for path in changed)}, and after {params['timeout']} s: "
            + "; ".join(told)
            + ". The other control planes were left as they were: see /var/log/pods/kube-system_* here",
            written=[str(path) for path in changed],
        )


if __name__ == "__main__":
    main()
