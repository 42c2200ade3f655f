"""Show how far a joining etcd member is while its host waits for its vote.

A module is silent until it ends, so the wait is made of short ones; everything else goes to the module unchanged.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

# Seconds that one call of the module waits.
STEP = 3


class ActionModule(ActionBase):
    """The arguments are the module's."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments["state"] != "promoted" or self._task.check_mode:
            return result | self._execute_module(module_args=arguments, task_vars=task_vars)
        began, waits = time.monotonic(), 0
        while True:
            told = self._execute_module(module_args=arguments | {"timeout": STEP}, task_vars=task_vars)
            waited = time.monotonic() - began
            if not told.get("failed") and (waits or told.get("changed")):
                self._display.display(f"{arguments['name']}: etcd: has its vote after {waited:.1f} s")
                told |= {"changed": True, "waited": round(waited, 1)}
            given_up = waited > int(arguments.get("timeout") or 120)
            if not told.get("failed") or "reason" not in told or given_up:
                return result | told
            waits += 1
            self._display.display(f"{arguments['name']}: etcd: {standing(told)}")


def standing(told: dict[str, Any]) -> str:
    """How far it is, in a line."""
    progress = told.get("progress")
    if not progress or not progress["longest"]:
        return str(told["reason"])
    share = 100 * progress["learner"] // progress["longest"]
    return f"learner, has {progress['learner']} of {progress['longest']} entries of the log ({share}%)"
