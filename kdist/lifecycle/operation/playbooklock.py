"""The operator's lock for a playbook that somebody started by hand (``site.yml``).

The action plug-in ``kdist_lock`` takes it on behalf of the ansible-playbook process and leaves a note in Ansible's
temporary directory of that run; the callback plug-in ``kdist_events`` gives it back when the run ends, whatever its
outcome. A run that was killed leaves the lock behind; the next operator on the same machine sees that its process is
gone.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kdist.lifecycle.operation.lock import ENVIRONMENT, Holder, release, take
from kdist.lifecycle.operation.remote import Reach

NOTE = "kdist-operator-lock.json"


def take_for_playbook(
    hosts: Sequence[Reach], command: str, pid: int, temporary: Path, *, break_lock: bool
) -> str:
    """Take the lock for process ``pid``, unless an operation that holds it started the playbook; the lock's id.

    Raises LockHeld and NoHostForLock.
    """
    if given := os.environ.get(ENVIRONMENT):
        return given
    note = temporary / NOTE
    if note.exists():  # a play of the same run was here before
        return str(json.loads(note.read_text())["holder"]["id"])
    holder = Holder.this_process(command, pid)
    taken = asyncio.run(take(hosts, holder, break_lock=break_lock))
    note.write_text(json.dumps({"holder": asdict(holder), "hosts": [asdict(host) for host in taken]}))
    return holder.id


def give_back(temporary: Path) -> None:
    """Give back what :func:`take_for_playbook` took in this run, if anything."""
    note = temporary / NOTE
    try:
        told = json.loads(note.read_text())
    except FileNotFoundError:
        return
    hosts = [Reach(**{**host, "arguments": tuple(host["arguments"])}) for host in told["hosts"]]
    asyncio.run(release(hosts, Holder.from_json(told["holder"])))
    note.unlink()
