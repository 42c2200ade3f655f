"""Send a host the part of its share of the bundle that it does not have yet, as one stream."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

BLOCK = 1 << 20
UNREACHABLE = 255  # ssh's own failures

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
        arrived = self._send(Path(args["source"]), missing, Path(args.get("dest", "/var/lib/kdist/bundle")))
        done = self._module({**args, "arrived": arrived}, task_vars)
        return result | done | {"changed": not done.get("failed")}

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module("kdist_bundle", module_args=args, task_vars=task_vars)
        return answer

    def _send(self, source: Path, names: list[str], dest: Path) -> str:
        """Where on the host the files are now, in a directory (streamed) or an archive."""
        partial = f"{dest}.partial"
        at = shlex.quote(partial)
        made = self._low_level_execute_command(f"rm -rf {at} && mkdir -p {at}")
        if made["rc"]:
            raise AnsibleActionFail(f"cannot make {partial}: {made['stderr'].strip()}")
        command = self._streaming(f"tar -x --no-same-owner --no-same-permissions -f - -C {at}")
        if command is None:
            return self._put(source, names)
        self._stream(command, source, names)
        return partial

    def _streaming(self, remote: str) -> list[bytes] | None:
        """An ssh command that runs ``remote`` with our standard input; None where only Ansible can speak to the host.

        Ansible's own transfer holds a whole file in memory for every host at once, and needs it packed first.
        """
        connection, become = self._connection, self._connection.become
        if connection.transport != "ssh" or connection.get_option("password"):
            return None
        if become:
            if become.get_option("become_pass"):
                return None  # the question for it would take the place of the archive
            remote = become.build_become_command(remote, connection._shell)
        program = connection.get_option("ssh_executable")
        # No new master: it would stay in the background and hold our end of standard error.
        alone = ("-o", "ControlMaster=no")
        command: list[bytes] = connection._build_command(program, "ssh", *alone, connection.host, remote)
        return command

    def _put(self, source: Path, names: list[str]) -> str:
        """Send an archive by Ansible's own means, to where the user of the connection may write."""
        remote: str = self._connection._shell.join_path(self._make_tmp_path(), "bundle.tar")
        with tempfile.NamedTemporaryFile(suffix=".tar") as packed:
            pack(packed, source, names)
            packed.flush()
            self._connection.put_file(packed.name, remote)
        return remote

    def _stream(self, command: list[bytes], source: Path, names: list[str]) -> None:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as ssh:
            assert ssh.stdin is not None and ssh.stderr is not None
            try:
                pack(ssh.stdin, source, names)
            except BrokenPipeError:
                pass  # what ended it says so itself
            _, said = ssh.communicate()
        reason = said.decode(errors="replace").strip()
        if ssh.returncode == UNREACHABLE:
            raise AnsibleConnectionFailure(f"the connection broke while the bundle was sent: {reason}")
        if ssh.returncode:
            raise AnsibleActionFail(f"the host could not take the bundle: {reason}")


def pack(into: IO[bytes], source: Path, names: list[str]) -> None:
    """Write an archive of these files of the bundle, a block at a time."""
    with tarfile.open(fileobj=into, mode="w|", bufsize=BLOCK, copybufsize=BLOCK) as archive:
        for name in names:
            archive.add(source / name, arcname=name, recursive=False)


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
