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

from ansible.module_utils.basic import AnsibleModule


def shown(module: AnsibleModule, name: str) -> dict[str, str]:
    _, out, _ = module.run_command(
        ["systemctl", "show", name, "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload"]
    )
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def steps(found: dict[str, str], name: str, state: str, enabled: bool) -> list[list[str]]:
    """The commands that bring a unit there."""
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
    if state == "restarted":
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
    commands = steps(found, params["name"], params["state"], params["enabled"])
    for command in commands:
        if not module.check_mode:
            code, _, err = module.run_command(["systemctl", *command])
            if code:
                hint = f"see journalctl -u {params['name']}"
                module.fail_json(msg=f"systemctl {' '.join(command)}: {err.strip()}; {hint}")
    module.exit_json(changed=bool(commands), done=[" ".join(command) for command in commands])


if __name__ == "__main__":
    main()
