#!/usr/bin/python
"""A systemd unit, with a check mode that holds on hosts where the unit is still to come."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdist_unit
short_description: Run, restart or stop a systemd unit
description:
  - Like C(ansible.builtin.systemd_service), which fails in check mode when the unit does not exist yet. Here a unit
    that is missing in check mode counts as a change when it is wanted.
options:
  name:
    description: The unit.
    type: str
    required: true
  state:
    description: Restarting is always a change.
    choices: [started, restarted, stopped]
    type: str
    required: true
  enabled:
    description: Whether it starts with the host.
    type: bool
    required: true
  reads:
    description:
      - Files and links that the unit reads when it starts. A unit that is to be C(started) and runs since before one of
        them changed is restarted; this mends a run that ended between such a change and its handler.
    type: list
    elements: str
    default: []
author: [kdist]
"""
EXAMPLES = r"""
- name: Restart the agent
  kdist_unit:
    name: kdist-agent.service
    state: restarted
    enabled: true
"""
RETURN = r"""
done:
  description: The systemctl commands that were (or, in check mode, would be) run.
  returned: always
  type: list
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

PROPERTIES = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,ExecMainStartTimestampMonotonic"


def shown(module: AnsibleModule, name: str) -> dict[str, str]:
    _, out, _ = module.run_command(["systemctl", "show", name, f"--property={PROPERTIES}"])
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def started_before(found: dict[str, str], reads: list[str]) -> bool:
    """Whether the unit's process started before one of the files or links changed."""
    microseconds = int(
        found.get("ExecMainStartTimestampMonotonic") or 0
    )  # since the host booted; 0: never started
    started = time.time() - time.monotonic() + microseconds / 1_000_000
    return microseconds > 0 and any(
        path.lstat().st_mtime > started for path in map(Path, reads) if path.exists()
    )


def steps(
    found: dict[str, str], name: str, state: str, enabled: bool, stale: bool = False
) -> list[list[str]]:
    """The commands that bring a unit there; a stale one runs with what it read before a change."""
    if found.get("LoadState") == "not-found":
        wanted = state != "stopped" or enabled
        return [["enable", name], ["start", name]] if wanted else []
    commands = []
    if found.get("NeedDaemonReload") == "yes":
        commands.append(["daemon-reload"])
    is_enabled = found.get("UnitFileState") == "enabled"
    if enabled != is_enabled:
        commands.append(["enable" if enabled else "disable", name])
    active = found.get("ActiveState") in ("active", "activating", "reloading")
    if state == "restarted" or (state == "started" and active and stale):
        commands.append(["restart", name])
    elif active != (state == "started"):
        commands.append(["start" if state == "started" else "stop", name])
    return commands


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "restarted", "stopped"], "required": True},
            "enabled": {"type": "bool", "required": True},
            "reads": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    found = shown(module, params["name"])
    if found.get("LoadState") == "not-found" and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"])  # its file may have come a moment ago
        found = shown(module, params["name"])
        if found.get("LoadState") == "not-found" and params["state"] != "stopped":
            module.fail_json(msg=f"there is no unit {params['name']}")
    stale = started_before(found, params["reads"])
    commands = steps(found, params["name"], params["state"], params["enabled"], stale)
    for command in commands:
        if not module.check_mode:
            code, _, err = module.run_command(["systemctl", *command])
            if code:
                hint = f"see journalctl -u {params['name']}"
                module.fail_json(msg=f"systemctl {' '.join(command)}: {err.strip()}; {hint}")
    module.exit_json(changed=bool(commands), done=[" ".join(command) for command in commands])


if __name__ == "__main__":
    main()
