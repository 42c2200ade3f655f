"""Running a playbook under the operator's lock, with progress and an error that names host and task.

The callback plug-in ``kdist_events`` writes one JSON line an event into a pipe; everything Ansible prints goes to a log
below the inventory's ``.kdist/logs``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.lifecycle.operation.lock import ENVIRONMENT, Held
from kdist.lifecycle.operation.remote import die_with_parent
from kdist.lifecycle.operation.site import CHECKOUT, Site, ansible

EVENTS = "KDIST_EVENTS"


@dataclass(frozen=True, slots=True)
class Event:
    """Something a playbook did: ``kind`` is task, ok, changed, skipped, failed or unreachable."""

    kind: str
    host: str
    task: str
    message: str = ""
    result: Mapping[str, Any] | None = None
    """What the module returned, where ``results`` asked for it."""


class PlaybookFailed(Exception):
    """A playbook ended with an error; the text names each host, its task and the reason, and the log."""

    def __init__(self, playbook: str, failures: Sequence[Event], log: Path, code: int) -> None:
        told = [f"{e.host}: {e.task}: {e.message}" for e in failures] or [f"ended with {code}"]
        super().__init__(f"{playbook}: " + "\n".join(told) + f"\n(log: {log})")
        self.failures = tuple(failures)
        self.log = log


async def run_playbook(
    site: Site,
    playbook: str,
    held: Held | None,
    *,
    limit: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    skip_tags: Sequence[str] = (),
    check: bool = False,
    results: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> dict[str, int]:
    """Run a playbook of the checkout; how many tasks changed something, by host. Raises PlaybookFailed.

    ``extra`` are extra variables; ``check`` changes nothing and asks for differences; ``held`` may be None for what
    changes nothing or must work without a lock. The playbook dies with this process; one that is still ending keeps
    ``operator_lock`` waiting.
    """
    log = _log(site, playbook, limit)
    reading, writing = os.pipe()
    passed = [writing] + ([held.descriptor] if held and held.descriptor is not None else [])
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_command(site, playbook, limit, extra or {}, tags, skip_tags, check),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(held, writing, results),
            pass_fds=passed,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    os.close(writing)
    try:
        events = await _follow(reading, on_event)
        code = await process.wait()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise
    failures = [event for event in events if event.kind in ("failed", "unreachable")]
    if code:
        raise PlaybookFailed(playbook, failures or _last_words(log), log, code)
    changed: dict[str, int] = {}
    for event in events:
        changed[event.host] = changed.get(event.host, 0) + (event.kind == "changed")
    return {host: count for host, count in changed.items() if host}


def _log(site: Site, playbook: str, limit: Sequence[str]) -> Path:
    directory = site.state / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    parts = [time.strftime("%Y%m%dT%H%M%S"), Path(playbook).stem, *limit[:3]]
    return directory / ("-".join(parts) + ".log")


def _command(
    site: Site,
    playbook: str,
    limit: Sequence[str],
    extra: Mapping[str, Any],
    tags: Sequence[str],
    skip_tags: Sequence[str],
    check: bool,
) -> list[str]:
    line = [ansible("ansible-playbook"), "-i", str(site.inventory), playbook]
    line += ["--limit", ",".join(limit)] if limit else []
    line += ["--tags", ",".join(tags)] if tags else []
    line += ["--skip-tags", ",".join(skip_tags)] if skip_tags else []
    line += ["--check", "--diff"] if check else []
    return line + (["--extra-vars", json.dumps(extra)] if extra else [])


def _environment(held: Held | None, events: int, results: bool) -> dict[str, str]:
    return {
        **os.environ,
        **({ENVIRONMENT: held.holder.id} if held else {}),
        **({"KDIST_EVENTS_RESULTS": "1"} if results else {}),
        EVENTS: str(events),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }


async def _follow(descriptor: int, on_event: Callable[[Event], None]) -> list[Event]:
    reader = asyncio.StreamReader(limit=1 << 22)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    events = []
    try:
        async for line in reader:
            event = Event(**json.loads(line))
            events.append(event)
            on_event(event)
    finally:
        transport.close()
    return events


def _last_words(log: Path) -> list[Event]:
    """For failures before any task (syntax, inventory): the end of what Ansible printed."""
    lines = log.read_text(errors="replace").strip().splitlines()[-5:]
    return [Event("failed", "ansible-playbook", "start", " ".join(lines))]
