"""One operator at a time.

The lock is a record on every control-plane host that can be reached (:mod:`hostlock`): it holds while the API is down
and before there is one. Whoever holds it on one host keeps everybody else out. While the API answers, the Lease
``kube-system/kdist-operator`` shows the same to people and machines that only have the API, and shows by its
renewals that the holder is alive.

A lock whose holder was a process of this machine that is gone (kill -9) is taken over without asking. Any other is only
broken on request (``--break-lock``): that its holder has died cannot be known from here.

``site.yml`` takes the same lock through the action plug-in ``kdist_lock``; a playbook that an operation starts is told
the lock's id by :data:`ENVIRONMENT` and runs under it.
"""

from __future__ import annotations

import asyncio
import fcntl
import getpass
import inspect
import json
import os
import secrets
import shlex
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from kdist.api import kinds, meta
from kdist.api.errors import ApiError, Conflict, NotFound
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.operation import hostlock
from kdist.lifecycle.operation.remote import HostError, Reach, run_on
from kdist.lifecycle.operation.site import Site

LEASE = ("kdist-operator", "kube-system")
ENVIRONMENT = "KDIST_OPERATOR_LOCK"
RENEW_SECONDS = 15
_DIRECTORY_WAIT_SECONDS = 60


class LockHeld(Exception):
    """Somebody else works on the cluster; the text says who, what, since when, and what to do."""


class NoHostForLock(Exception):
    """No control plane can be reached, so nobody could be kept out; the text says why for each."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock. ``boot`` and ``started`` tell a process of this machine from a later one of the same pid."""

    id: str
    owner: str
    host: str
    command: str
    pid: int
    boot: str = ""
    started: str = ""

    @classmethod
    def this_process(cls, command: str, pid: int | None = None) -> Holder:
        """A new holder: this process, or another one of this machine."""
        pid = pid or os.getpid()
        return cls(
            secrets.token_hex(4),
            getpass.getuser(),
            socket.gethostname(),
            command,
            pid,
            _boot(),
            _started(pid),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Holder:
        """From a host's record."""
        known = {name: data.get(name, "") for name in cls.__dataclass_fields__}
        return cls(**{**known, "pid": int(data.get("pid") or 0)})

    def is_gone(self) -> bool:
        """Whether it was a process of this machine and has ended. False when that cannot be known."""
        started = _started(self.pid)
        return bool(self.boot) and self.boot == _boot() and (not started or started != self.started)

    def told(self, age: float, *, gone: bool = False) -> str:
        """For people; ``age`` in seconds. ``gone``: its process has ended and left the lock behind."""
        who = f"{self.owner}@{self.host} (process {self.pid})"
        if gone:
            return f"left by {who}, which is gone and ran `{self.command}`, {_duration(age)} ago"
        return f"{who} runs `{self.command}` since {_duration(age)}"


def refusal(holder: Holder, age: float, where: str) -> LockHeld:
    """The error for somebody who comes second."""
    return LockHeld(
        f"another operator works on this cluster: {holder.told(age)} (lock {holder.id} on {where}). "
        "Wait until that has ended; when you know that it is dead, take the lock with --break-lock"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start time of a process in the kernel's ticks; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Held:
    """The lock while it is held: hand it to ``run_playbook`` and to :class:`LeaseKeeper`."""

    holder: Holder
    hosts: tuple[str, ...]
    everywhere: bool = True
    """Whether every control plane has the record: then nobody else can hold the lock."""
    descriptor: int | None = None
    """Open in every playbook under this lock, so that one that outlives its operator is noticed."""


@asynccontextmanager
async def operator_lock(site: Site, command: str, *, break_lock: bool = False) -> AsyncIterator[Held]:
    """Hold the operator's lock. Raises LockHeld and NoHostForLock; the lock is given back on any way out.

    ``command`` is what others are told, such as ``kdist upgrade apply``.
    """
    with await _open_directory(site, command) as local:
        holder = Holder.this_process(command)
        hosts = await take(reaches(site), holder, break_lock=break_lock)
        try:
            names = tuple(host.name for host in hosts)
            yield Held(holder, names, len(names) == len(site.control_planes), local.fileno())
        finally:
            await asyncio.shield(release(hosts, holder))


def reaches(site: Site) -> list[Reach]:
    """The hosts that keep the lock."""
    return [site.reach(name) for name in site.control_planes]


async def _open_directory(site: Site, command: str) -> IO[str]:
    """The lock of this inventory directory on this machine: playbooks of a killed operator still hold it."""
    site.state.mkdir(parents=True, exist_ok=True)
    path = site.state / "lock"
    stream = path.open("a+")
    deadline = time.monotonic() + _DIRECTORY_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            about = json.loads(stream.read() or "{}")
            holder = Holder.from_json(about)
            if about and not holder.is_gone():
                stream.close()
                raise refusal(holder, time.time() - about["since"], str(path)) from None
            if time.monotonic() > deadline:
                stream.close()
                raise LockHeld(
                    f"{path}: a playbook of an operator that has ended is still running; find it with "
                    f"`fuser {path}`, wait for it or end it, then try again"
                ) from None
            await asyncio.sleep(0.5)
            continue
        stream.seek(0)
        stream.truncate()
        json.dump(asdict(Holder.this_process(command)) | {"since": time.time()}, stream)
        stream.flush()
        return stream


async def take(hosts: Sequence[Reach], holder: Holder, *, break_lock: bool = False) -> list[Reach]:
    """Put the record on every host that answers; those hosts. Raises LockHeld and NoHostForLock.

    The first host that answers decides between two operators, so it is asked before the others.
    """
    left = list(hosts)
    taken: list[Reach] = []
    silent: list[str] = []
    try:
        while left:
            asked = left if taken else left[:1]
            left = left[len(asked) :]
            answers = await asyncio.gather(*(_take_one(host, holder, break_lock) for host in asked))
            taken += [host for host, failure in zip(asked, answers, strict=True) if failure is None]
            silent += [str(failure) for failure in answers if failure is not None]
    except BaseException:
        await release(hosts, holder)
        raise
    if not taken:
        raise NoHostForLock("no control plane can be reached to lock the cluster:\n" + "\n".join(silent))
    return taken


async def _take_one(host: Reach, holder: Holder, break_lock: bool) -> HostError | None:
    """None when the host has the record, its error when it cannot be reached."""
    try:
        answer = await _ask(host, "take", holder, "*" if break_lock else "")
        if not answer["taken"]:
            other = Holder.from_json(answer["held"])
            if other.is_gone():
                answer = await _ask(host, "take", holder, other.id)
        if not answer["taken"]:
            other = Holder.from_json(answer["held"])
            raise refusal(other, answer["now"] - answer["held"]["since"], host.name)
    except HostError as error:
        if error.reached:
            raise
        return error
    return None


async def release(hosts: Sequence[Reach], holder: Holder) -> None:
    """Take the record away again where it is still this holder's; a host that is gone keeps it until the next run."""
    await asyncio.gather(*(_ask(host, "release", holder, "") for host in hosts), return_exceptions=True)


async def holders(site: Site) -> dict[str, tuple[Holder, float] | None]:
    """Who holds the lock and for how many seconds, by control plane that answers."""
    asked = (_ask(host, "show", None, "") for host in reaches(site))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    found: dict[str, tuple[Holder, float] | None] = {}
    for name, answer in zip(site.control_planes, answers, strict=True):
        if isinstance(answer, HostError):
            continue
        if isinstance(answer, BaseException):
            raise answer
        held = answer["held"]
        found[name] = (Holder.from_json(held), answer["now"] - held["since"]) if held else None
    return found


async def still_held(site: Site, held: Held) -> None:
    """Raises LockHeld when somebody has broken the lock meanwhile."""
    for host, found in (await holders(site)).items():
        if host in held.hosts and (found is None or found[0].id != held.holder.id):
            by = found[0].told(found[1]) if found else "nobody holds it now"
            raise LockHeld(f"the lock of this operation was broken by another operator ({by}); stopped")


async def _ask(host: Reach, action: str, holder: Holder | None, over: str) -> dict[str, Any]:
    request = {"action": action, "record": asdict(holder) if holder else None, "over": over}
    command = f"/usr/bin/python3 - {shlex.quote(json.dumps(request))}"
    out = await run_on(host, command, given=inspect.getsource(hostlock).encode(), timeout=30)
    answer: dict[str, Any] = json.loads(out)
    return answer


@asynccontextmanager
async def shown_as_lease(client: Client, held: Held, *, break_lock: bool = False) -> AsyncIterator[None]:
    """Keep the Lease while inside; the API may come and go meanwhile.

    Raises LockHeld for another's live Lease where some control plane could not be asked. Where all have this holder's
    record, a Lease of another's is what an operator who was killed has left.
    """
    with suppress(Unreachable):
        await _write_lease(client, held.holder, break_lock=break_lock or held.everywhere)
    keeper = asyncio.create_task(_renew(client, held.holder), name="operator lease")
    try:
        yield
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        with suppress(ApiError, Unreachable):
            lease = await client.get(kinds.LEASES, *LEASE)
            if lease["spec"].get("holderIdentity") == _identity(held.holder):
                await client.delete(kinds.LEASES, *LEASE)


async def _renew(client: Client, holder: Holder) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        with suppress(ApiError, Unreachable):
            await _write_lease(client, holder, break_lock=True)


def _identity(holder: Holder) -> str:
    return f"{holder.owner}@{holder.host}/{holder.id}"


async def _write_lease(client: Client, holder: Holder, *, break_lock: bool) -> None:
    name, namespace = LEASE
    now = meta.now_micro()
    spec = {
        "holderIdentity": _identity(holder),
        "acquireTime": now,
        "renewTime": now,
        "leaseDurationSeconds": 4 * RENEW_SECONDS,
    }
    about = {"name": name, "namespace": namespace, "annotations": {"kdist.io/command": holder.command}}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": about, "spec": spec}
    try:
        found = await client.get(kinds.LEASES, name, namespace)
    except NotFound:
        with suppress(Conflict):
            await client.create(kinds.LEASES, body)
        return
    theirs = found["spec"]
    if theirs.get("holderIdentity") == spec["holderIdentity"]:
        spec["acquireTime"] = theirs.get("acquireTime") or now
    elif not break_lock and (age := lease_age(found)) is not None:
        raise LockHeld(
            f"another operator works on this cluster: {theirs['holderIdentity']} holds Lease {namespace}/{name} "
            f"for `{meta.annotations(found).get('kdist.io/command', '?')}`, renewed {age:.0f} s ago. "
            "Wait until that has ended; when you know that it is dead, take the lock with --break-lock"
        )
    body["metadata"] = {**about, "resourceVersion": found["metadata"]["resourceVersion"]}
    with suppress(Conflict):
        await client.update(kinds.LEASES, body)


def lease_age(lease: Mapping[str, Any]) -> float | None:
    """Seconds since a Lease was renewed; None when it has run out or nobody holds it."""
    told = lease.get("spec", {})
    if not told.get("holderIdentity") or not told.get("renewTime"):
        return None
    age = time.time() - meta.parse_time(told["renewTime"]).timestamp()
    return max(age, 0.0) if age < told.get("leaseDurationSeconds", 0) else None
