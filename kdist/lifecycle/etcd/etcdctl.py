"""Running ``etcdctl`` (Debian's etcd-client) on a control-plane host with the credentials that lie there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd.members import Member

PKI = Path("/etc/kubernetes/pki/etcd")
TIMEOUT = 10  # seconds a command may take


class EtcdctlError(Exception):
    """The tool failed; the text is what it said."""


class Etcdctl:
    """etcd by its members' client URLs."""

    def __init__(self, endpoints: Sequence[str], pki: Path = PKI) -> None:
        self._arguments = [
            f"--endpoints={','.join(endpoints)}",
            f"--cacert={pki / 'ca.crt'}",
            f"--cert={pki / 'healthcheck-client.crt'}",
            f"--key={pki / 'healthcheck-client.key'}",
        ]

    def run(self, *command: str, timeout: float = TIMEOUT) -> Any:
        """The JSON answer of a command. Raises EtcdctlError."""
        line = [
            "etcdctl",
            *self._arguments,
            "--write-out=json",
            f"--command-timeout={int(timeout)}s",
            *command,
        ]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        try:
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=timeout + 5, env=environment, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EtcdctlError(f"etcdctl {' '.join(command)}: {error}") from error
        if done.returncode != 0:
            raise EtcdctlError(f"etcdctl {' '.join(command)}: {_message(done.stderr)}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def members(self) -> list[Member]:
        """Every member. Raises EtcdctlError, without a quorum too."""
        return [Member.from_json(m) for m in self.run("member", "list")["members"]]

    def add_learner(self, name: str, peer_url: str) -> None:
        """Let a host in that has no vote yet. Raises EtcdctlError, for a second learner at a time too."""
        self.run("member", "add", name, f"--peer-urls={peer_url}", "--learner")

    def promote(self, member: Member) -> None:
        """Give a learner its vote. Raises EtcdctlError while it has not caught up."""
        self.run("member", "promote", f"{member.id:x}")

    def remove(self, member: Member) -> None:
        """End a membership."""
        self.run("member", "remove", f"{member.id:x}")


def _message(stderr: str) -> str:
    """The error of etcdctl: a JSON log line in newer versions, plain text in older ones."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else "no message"
    try:
        told = json.loads(last)
    except ValueError:
        return last.removeprefix("Error: ")
    return str(told.get("error") or told.get("msg") or last)
