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
  - With C(KDIST_EVENTS_RESULTS) a result comes with what the module returned; of tasks with no_log that is censored.
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

        self._with_results = bool(os.environ.get("KDIST_EVENTS_RESULTS"))

    def _emit(
        self, kind: str, host: str, task: str, message: str = "", result: dict[str, Any] | None = None
    ) -> None:
        if self._stream:
            event: dict[str, Any] = {"kind": kind, "host": host, "task": task, "message": message}
            if self._with_results and result is not None:
                event["result"] = result
            self._stream.write(json.dumps(event, default=str) + "\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._emit("task", "", task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._emit("task", "", task.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        kind = "changed" if result._result.get("changed") else "ok"
        self._emit(kind, result._host.get_name(), result._task.get_name(), "", result._result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            about = (result._host.get_name(), result._task.get_name(), _message(result._result))
            self._emit("failed", *about, result._result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._emit("unreachable", result._host.get_name(), result._task.get_name(), _message(result._result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        playbooklock.give_back(Path(constants.DEFAULT_LOCAL_TMP))


def _message(result: dict[str, Any]) -> str:
    if result.get("_ansible_no_log"):
        return "(hidden: it may hold secrets)"
    parts = [str(result[key]).strip() for key in ("msg", "module_stderr", "stderr") if result.get(key)]
    return "\n".join(parts) or "no message"
