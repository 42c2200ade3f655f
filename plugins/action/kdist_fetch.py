"""Bring a file from a host to the operator's machine, with a check mode that tells the truth on an empty host too."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """``kdist_fetch: {src: PATH ON THE HOST, dest: PATH HERE}``. The file is for its owner's eyes only."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        source, target = self._task.args["src"], Path(self._task.args["dest"])
        read = self._execute_module("ansible.builtin.slurp", module_args={"src": source}, task_vars=task_vars)
        if read.get("failed"):
            if self._task.check_mode:  # it is still to come
                return result | {"changed": True, "written": [str(target)]}
            return result | {"failed": True, "msg": f"{source}: {read.get('msg', 'cannot be read')}"}
        content = base64.b64decode(read["content"])
        changed = not target.exists() or target.read_bytes() != content
        if changed and not self._task.check_mode:
            _write(target, content)
        return result | {"changed": changed, "written": [str(target)] if changed else []}


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
    temporary.replace(target)
