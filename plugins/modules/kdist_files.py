#!/usr/bin/python
"""Many files in one task, with check mode and diff."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_files
short_description: Keep a set of files as given
description:
  - Writes every file that differs in content or mode, atomically; leaves the others alone.
  - One task for a role's whole configuration, where a loop would cost a round trip a file.
options:
  files:
    description: Path to content (string), or to a mapping with content and mode.
    type: dict
    required: true
  absent:
    description: Paths that must not exist.
    type: list
    elements: str
    default: []
  prune:
    description:
      - Patterns of paths. A file that matches one and is not in I(files) is removed if kdist wrote it, which its
        first line says.
    type: list
    elements: str
    default: []
  mode:
    description: Mode of files that name none.
    type: str
    default: "0644"
  secret:
    description: Keep contents out of the diff.
    type: bool
    default: false
author: [kdist]
"""
EXAMPLES = r"""
- name: Configure
  kdist_files:
    files:
      /etc/containerd/config.toml: "{{ lookup('ansible.builtin.template', 'config.toml.j2') }}"
"""
RETURN = r"""
written:
  description: Paths that were written or removed.
  returned: always
  type: list
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kdist_host import replace_file
from ansible.module_utils.kdist_ledger import Ledger


def current(path: Path) -> tuple[str | None, int | None]:
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None, None


MARK = "# Written by kdist"


def outdated(patterns: list[str], wanted: dict) -> list[str]:
    found = sorted(str(path) for pattern in patterns for path in Path("/").glob(pattern.lstrip("/")))
    return [name for name in found if name not in wanted and (current(Path(name))[0] or "").startswith(MARK)]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "absent": {"type": "list", "elements": "str", "default": []},
            "prune": {"type": "list", "elements": "str", "default": []},
            "mode": {"type": "str", "default": "0644"},
            "secret": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    written, diffs = [], []
    for name, wanted in params["files"].items():
        content, mode = wanted, params["mode"]
        if isinstance(wanted, dict):
            content, mode = wanted["content"], wanted.get("mode", mode)
        before, before_mode = current(Path(name))
        if (before, before_mode) == (content, int(str(mode), 8)):
            continue
        written.append(name)
        if not params["secret"]:
            diffs.append(
                {"before": before or "", "after": content, "before_header": name, "after_header": name}
            )
        if not module.check_mode:
            replace_file(Path(name), content.encode(), int(str(mode), 8))
    for name in [*params["absent"], *outdated(params["prune"], params["files"])]:
        if Path(name).exists():
            written.append(name)
            if not module.check_mode:
                Ledger().file(name)
                Path(name).unlink()
    module.exit_json(changed=bool(written), written=written, diff=diffs)


if __name__ == "__main__":
    main()
