"""Take the operator's lock for this run of a playbook; the callback ``kdist_events`` gives it back at the end.

Runs on the operator's machine; touches control planes only. Nothing is locked in check mode.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from kdist.lifecycle import spec
from kdist.lifecycle.operation.lock import LockHeld, NoHostForLock
from kdist.lifecycle.operation.playbooklock import take_for_playbook
from kdist.lifecycle.operation.remote import HostError, Reach


class ActionModule(ActionBase):
    """``kdist_lock: {command: site.yml, break: false}``. Returns ``id``."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self._task.check_mode:
            return result | {"changed": False, "id": ""}
        variables = task_vars or {}
        names = variables["groups"].get(spec.CONTROL_PLANE_GROUP, [])
        hosts = [Reach.from_variables(name, _resolved(variables["hostvars"][name])) for name in names]
        args = self._task.args
        try:
            identity = take_for_playbook(
                hosts,
                args.get("command", "ansible-playbook"),
                os.getppid(),
                Path(constants.DEFAULT_LOCAL_TMP),
                break_lock=bool(args.get("break")),
            )
        except (LockHeld, NoHostForLock, HostError) as error:
            advice = str(error).replace("--break-lock", "--extra-vars operation_break_lock=true")
            return result | {"failed": True, "msg": f"Nothing was changed. {advice}"}
        return result | {"changed": False, "id": identity}


def _resolved(hostvars: Any) -> dict[str, Any]:
    """What concerns the connection of a host's variables, templates resolved."""
    names = ("host", "user", "port", "connection", "become", "private_key_file")
    ssh = ("user", "port", "private_key_file", "common_args", "extra_args")
    keys = [f"ansible_{name}" for name in names] + [f"ansible_ssh_{name}" for name in ssh]
    return {key: hostvars[key] for key in keys if key in hostvars}
