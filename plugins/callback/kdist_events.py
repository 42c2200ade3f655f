"""Tell a program that runs a playbook what happens, one JSON line an event; give site.yml's lock back at the end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

from kdist.lifecycle.operation import playbooklock

DOCUMENTATION = r"""
name: kdist_events
type: notification
short_description: Events for the program that runs a playbook
description:
  - Writes task starts and results as JSON lines to the file descriptor in C(KDIST_EVENTS), when it is set.
  - Gives back the operator's lock that the action C(kdist_lock) took in this run.
"""


class CallbackModule(CallbackBase):
    """Results that loops and retries repeat come once, at their end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kdist_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        descriptor = os.environ.get("KDIST_EVENTS")
        self._stream = os.fdopen(os.dup(int(descriptor)), "w", buffering=1) if descriptor else None
        if descriptor:
            os.set_inheritable(int(descriptor), False)
            os.close(int(descriptor))

    def _emit(self, kind: str, host: str, task: str, message: str = "") -> None:
        if self._stream:
            line = json.dumps({"kind": kind, "host": host, "task": task, "message": message})
            self._stream.write(line + "\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._emit("task", "", task.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        kind = "changed" if result._result.get("changed") else "ok"
        self._emit(kind, result._host.get_name(), result._task.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._emit("failed", result._host.get_name(), result._task.get_name(), _message(result._result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._emit("unreachable", result._host.get_name(), result._task.get_name(), _message(result._result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        playbooklock.give_back(Path(constants.DEFAULT_LOCAL_TMP))


def _message(result: dict[str, Any]) -> str:
    if result.get("_ansible_no_log"):
        return "(hidden: it may hold secrets)"
    parts = [str(result[key]).strip() for key in ("msg", "module_stderr", "stderr") if result.get(key)]
    return "\n".join(parts) or "no message"
