"""Commands on hosts, over the same ssh connections as Ansible's.

:class:`Reach` is how one host is reached, read from its Ansible variables; :func:`run_on` runs a command there.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

CONNECT_SECONDS = 10
# ssh itself ends with this when it could not connect or log in.
_SSH_FAILED = 255
_PR_SET_PDEATHSIG = 1


class HostError(Exception):
    """A host could not be reached or a command failed there; the text names the host and what was said."""

    def __init__(self, host: str, reason: str, *, reached: bool) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reached = reached


@dataclass(frozen=True, slots=True)
class Reach:
    """How to get to a host. ``local``: it is this machine. ``become``: the user is not root and asks sudo."""

    name: str
    address: str
    user: str = ""
    port: int | None = None
    key: str = ""
    arguments: tuple[str, ...] = ()
    local: bool = False
    become: bool = False

    @classmethod
    def from_variables(cls, name: str, variables: Mapping[str, Any]) -> Reach:
        """From a host's Ansible variables, as the ssh connection reads them."""
        given = [variables.get(f"ansible_ssh_{part}_args") for part in ("common", "extra")]
        port = variables.get("ansible_port") or variables.get("ansible_ssh_port")
        user = str(variables.get("ansible_user") or variables.get("ansible_ssh_user") or "")
        return cls(
            name,
            str(variables.get("ansible_host") or name),
            user,
            int(port) if port else None,
            str(
                variables.get("ansible_ssh_private_key_file")
                or variables.get("ansible_private_key_file")
                or ""
            ),
            tuple(word for text in given if text for word in shlex.split(str(text))),
            local=variables.get("ansible_connection") == "local",
            become=bool(variables.get("ansible_become")) and user != "root",
        )

    def command(self, command: str) -> list[str]:
        """The line that runs a shell command there as root."""
        wrapped = f"sudo -n sh -c {shlex.quote(command)}" if self.become else command
        return ["sh", "-c", wrapped] if self.local else [*self.ssh(), wrapped]

    def ssh(self, *options: str) -> list[str]:
        """ssh up to the remote command; never asks anything."""
        line = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        line += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", *self.arguments, *options]
        line += ["-p", str(self.port)] if self.port else []
        line += ["-i", self.key] if self.key else []
        return [*line, f"{self.user}@{self.address}" if self.user else self.address]


def die_with_parent() -> None:
    """For ``preexec_fn``: have the kernel end this process when the operator's is gone, even by kill -9."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process that leads a session, with everything it started, and wait for it.

    A jump host's or proxy's process holds ssh's error pipe, and asyncio counts a process as ended when its pipes are
    closed: killing ssh alone would wait for the proxy's own time limit.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def run_on(reach: Reach, command: str, *, given: bytes = b"", timeout: float = 60) -> str:
    """Standard output of a shell command on a host; ``given`` is its input. Raises HostError."""
    process = await asyncio.create_subprocess_exec(
        *reach.command(command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(given)
    except TimeoutError:
        raise HostError(reach.name, f"no answer within {timeout:.0f} s", reached=False) from None
    finally:
        await end(process)
    if process.returncode:
        told = err.decode(errors="replace").strip() or f"ended with {process.returncode}"
        failed_to_connect = process.returncode == _SSH_FAILED and not reach.local
        reason = f"cannot be reached at {reach.address} over ssh: {told}" if failed_to_connect else told
        raise HostError(reach.name, reason, reached=not failed_to_connect)
    return out.decode()
