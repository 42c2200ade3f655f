"""Send a host the part of its share of the bundle that it does not have yet, as one stream."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# What describes and signs the other files cannot be in the description; preflight has checked the signature.
UNLISTED = ("manifest.json", "manifest.json.sig", "signer.pub")


class ActionModule(ActionBase):
    """Ask the module what is missing, send exactly that, let the module check and place it."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        args["files"] = {**args["files"], **{name: _entry(Path(args["source"], name)) for name in UNLISTED}}
        asked = self._module(args, task_vars)
        missing = asked.get("missing", [])
        if asked.get("failed") or not missing or self._task.check_mode:
            return result | asked
        remote = self._send(Path(args["source"]), missing, Path(args.get("dest", "/var/lib/kdist/bundle")))
        done = self._module({**args, "archive": remote}, task_vars)
        return result | done | {"changed": not done.get("failed")}

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module("kdist_bundle", module_args=args, task_vars=task_vars)
        return answer

    def _send(self, source: Path, names: list[str], dest: Path) -> str:
        remote = str(dest.parent / "bundle.tar")
        self._low_level_execute_command(f"mkdir -p {dest.parent}")
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            with tarfile.open(archive.name, "w") as tar:
                for name in names:
                    tar.add(source / name, arcname=name, recursive=False)
            self._connection.put_file(archive.name, remote)
        return remote


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
