"""``kdist etcd local ...`` on control planes, from the operator's machine; and files on their way between the two."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.lifecycle.operation.remote import HostError, end
from kdist.lifecycle.operation.site import Site

KDIST = "/opt/kdist/current/bin/kdist"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one host said. ``error`` is empty when the command succeeded; ``reached``: whether anybody answered."""

    value: Any
    error: str = ""
    reached: bool = True


def _line(arguments: Sequence[str]) -> str:
    return shlex.join([KDIST, "etcd", "local", *arguments])


async def ask_all(
    site: Site, hosts: Sequence[str], *arguments: str, timeout: float = 60
) -> dict[str, Answer]:
    """A local command on several hosts at once; an answer for every host."""
    outputs = await site.run_everywhere(hosts, _line(arguments), timeout=timeout)
    return {host: _answer(host, output) for host, output in outputs.items()}


async def ask(site: Site, host: str, *arguments: str, timeout: float = 60) -> Any:
    """A local command on one host. Raises HostError."""
    answer = _answer(host, await site.run(host, _line(arguments), timeout=timeout))
    if answer.error:
        raise HostError(host, answer.error, reached=True)
    return answer.value


def _answer(host: str, output: str | HostError) -> Answer:
    if isinstance(output, HostError):
        return Answer(None, str(output).removeprefix(f"{host}: "), output.reached)
    try:
        return Answer(json.loads(output))
    except ValueError:
        return Answer(None, f"its answer is no JSON: {output[:200]!r}")


async def copy_from(site: Site, host: str, source: str, target: Path) -> None:
    """Copy a file from a host. Raises HostError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        target.chmod(0o600)
        process = await asyncio.create_subprocess_exec(
            *site.reach(host).command(f"cat {shlex.quote(source)}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stream,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        await _ended(process, host, source)


async def copy_to(site: Site, host: str, source: Path, target: str) -> None:
    """Copy a file to a host, mode 0600, under its name only when it is whole. Raises HostError."""
    quoted, partial = shlex.quote(target), shlex.quote(f"{target}.part")
    command = f"umask 077 && mkdir -p $(dirname {quoted}) && cat > {partial} && sync {partial} && mv {partial} {quoted}"
    with source.open("rb") as stream:
        process = await asyncio.create_subprocess_exec(
            *site.reach(host).command(command),
            stdin=stream,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        await _ended(process, host, target)


async def _ended(process: asyncio.subprocess.Process, host: str, path: str) -> None:
    try:
        _, err = await process.communicate()
    finally:
        await end(process)
    if process.returncode:
        told = err.decode(errors="replace").strip() or f"ended with {process.returncode}"
        raise HostError(host, f"{path} could not be copied: {told}", reached=process.returncode != 255)
