"""What ``kdist etcd`` does to a whole cluster, from the operator's machine: restore, recover, defragment, mend.

Every operation holds the operator's lock and writes a journal; each step converges when it is done again, so after a
kill the same command goes on. Decisions are :mod:`quorum`'s, :mod:`health`'s and :mod:`space`'s; hosts do the work with
``kdist etcd local``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import fetching, snapshots
from kdist.lifecycle.etcd.quorum import Choice, Refused
from kdist.lifecycle.etcd.remote import Answer, ask, ask_all, copy_to
from kdist.lifecycle.etcd.snapshots import Manifest
from kdist.lifecycle.operation.journal import Entry, Journal, JournalFile, Recorder, State
from kdist.lifecycle.operation.lock import Held
from kdist.lifecycle.operation.runner import Event, run_playbook
from kdist.lifecycle.operation.site import Site

# Where a snapshot waits on the hosts until it is restored.
INCOMING = "/var/lib/kdist/etcd-restore"
LONG = 1800.0  # seconds for what copies or reads a whole database

Follow = Callable[[str, int], AbstractContextManager[Callable[[Event], None]]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What every operation is given: the cluster, the lock, and how to tell the operator."""

    site: Site
    held: Held
    follow: Follow
    tell: Callable[[Entry], None]

    async def playbook(
        self, what: str, hosts: list[str], *, limit: bool = True, tags: tuple[str, ...] = ()
    ) -> None:
        """site.yml on hosts, with progress. Raises PlaybookFailed."""
        with self.follow(what, len(hosts)) as on_event:
            await run_playbook(
                self.site, "site.yml", self.held, limit=hosts if limit else (), tags=tags, on_event=on_event
            )

    def recorder(self, name: str, steps: Mapping[str, str], about: dict[str, Any]) -> Recorder:
        """A new journal in the operator's state directory; ``steps``: name (HOST/STEP or STEP) to what it does."""
        entries = [Entry(name=step, host=step.rpartition("/")[0], does=does) for step, does in steps.items()]
        journal = Journal(name, entries, about, State.RUNNING)
        return Recorder(JournalFile(self.site.state / f"{name}.json"), journal, tell=self.tell)


async def observed(site: Site) -> dict[str, Answer]:
    """What every control plane knows."""
    return await ask_all(site, site.control_planes, "status")


# ----- recover


async def recover(operation: Operation, choice: Choice) -> dict[str, Any]:
    """Let the survivor go on alone and the others that answer join it again; what became of the history."""
    site, survivor = operation.site, choice.survivor
    steps = {f"{host}/stop": "stop etcd" for host in choice.others}
    steps[f"{survivor}/recover"] = "go on alone"
    steps |= {f"{host}/set-aside": "put the old data aside" for host in choice.others}
    present = [host for host in site.control_planes if host not in choice.gone]
    if choice.others:  # the survivor alone is what it was before: nothing has to be configured anew
        steps["join"] = f"site.yml on {', '.join(present)}"
    recorder = operation.recorder("etcd-recover", steps, {"survivor": survivor, "loss": choice.loss})
    for host in choice.others:
        async with recorder.step(f"{host}/stop"):
            await ask(site, host, "stop", timeout=150)
    async with recorder.step(f"{survivor}/recover") as entry:
        result: dict[str, Any] = await ask(site, survivor, "recover", timeout=LONG)
        entry.detail = f"revision {result['revision_before']} is the newest that survived"
    for host in choice.others:
        async with recorder.step(f"{host}/set-aside"):
            await ask(site, host, "set-aside", timeout=150)
    if choice.others:
        async with recorder.step("join"):
            await operation.playbook("rejoin", present)
    await recorder.finish(State.DONE)
    return result


async def rejoin(operation: Operation, hosts: list[str]) -> None:
    """Let hosts whose membership has ended join anew."""
    steps = {f"{host}/set-aside": "put the old data aside" for host in hosts}
    recorder = operation.recorder("etcd-rejoin", steps | {"join": f"site.yml on {', '.join(hosts)}"}, {})
    for host in hosts:
        async with recorder.step(f"{host}/set-aside"):
            await ask(operation.site, host, "set-aside", timeout=150)
    async with recorder.step("join"):
        await operation.playbook("rejoin", hosts)
    await recorder.finish(State.DONE)


# ----- restore


@dataclass(frozen=True, slots=True)
class Source:
    """A verified snapshot on this machine: its directory, or a bare database with or without keys beside it."""

    path: Path
    manifest: Manifest | None
    encryption: Path | None


async def with_data(site: Site, answers: Mapping[str, Answer]) -> list[str]:
    """Control planes that have etcd data, those included that have no kdist to ask. Raises HostError."""
    having = []
    for host, answer in answers.items():
        if answer.value is not None:
            found = answer.value["has_data"]
        else:
            command = "test -e /var/lib/etcd/member && echo yes || true"
            found = answer.reached and await site.run(host, command) != ""
        if found:
            having.append(host)
    return having


def unfit_for_restore(answers: Mapping[str, Answer], having: Sequence[str], *, replace: bool) -> None:
    """Refuse a restore that would leave or make a second cluster. Raises Refused."""
    if silent := [host for host, answer in answers.items() if not answer.reached]:
        raise Refused(
            f"{', '.join(silent)} cannot be reached: an etcd that runs there would go on beside the restored one. "
            "Switch them on, or take them out of the inventory (and never switch them on again with their data)"
        )
    if having and not replace:
        raise Refused(
            f"{', '.join(having)} have etcd data. To give up what is there for the snapshot: --replace "
            "(the data is renamed, not removed)"
        )


def loss(manifest: Manifest | None, answers: Mapping[str, Answer], now: datetime) -> str:
    """What a restore loses, as far as anybody knows."""
    known = [
        (endpoint["revision"], host)
        for host, answer in answers.items()
        if answer.value
        for endpoint in answer.value["endpoints"].values()
        if endpoint
    ]
    if manifest is None:
        return "The snapshot does not say when it was taken; everything written after that is lost."
    age = now - manifest.taken
    text = f"The snapshot is of {manifest.time} ({_duration(age.total_seconds())} old), revision {manifest.revision}. "
    if not known:
        return text + "Everything written after that is lost; nobody is left who knows how much that is."
    revision, host = max(known)
    return (
        text
        + f"{host} has revision {revision}: the {max(revision - manifest.revision, 0)} writes after it are lost."
    )


def _duration(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


async def restore(operation: Operation, source: Source) -> dict[str, Any]:
    """The snapshot as a new cluster on the inventory's hosts; from where to where the revision went."""
    site = operation.site
    planes = site.control_planes
    first = site.spec.control_planes[0]
    steps = {"install": "release and packages on control planes"}
    steps |= {f"{host}/stop": "stop the control plane, put old data aside" for host in planes}
    steps |= {f"{host}/secrets": "keys of encryption at rest" for host in planes}
    steps |= {f"{first.name}/send": "send the snapshot", f"{first.name}/restore": "a new etcd cluster of one"}
    steps |= {"site": "site.yml", "compact": "make clients forget the lost history"}
    recorder = operation.recorder("etcd-restore", steps, {"snapshot": str(source.path)})
    async with recorder.step("install"):
        await operation.playbook("install", planes, tags=("release", "runtime"))
    for host in planes:
        async with recorder.step(f"{host}/stop"):
            await ask(site, host, "stop-control-plane", timeout=150)
    for host in planes:
        async with recorder.step(f"{host}/secrets") as entry:
            await _send_secrets(site, host, source, with_pki=host == first.name)
            done = await ask(site, host, "restore-secrets", INCOMING)
            entry.detail = ", ".join(done["written"])
    async with recorder.step(f"{first.name}/send"):
        await fetching.send(site, first.name, source.path, INCOMING)
    async with recorder.step(f"{first.name}/restore"):
        token = f"{site.spec.settings.cluster_name}-{secrets.token_hex(4)}"
        of = ("--name", first.name, "--address", first.address, "--token", token)
        result: dict[str, Any] = await ask(site, first.name, "restore", INCOMING, *of, timeout=LONG)
    async with recorder.step("site"):
        await operation.playbook("site.yml", site.names, limit=False)
    async with recorder.step("compact"):
        await ask(site, first.name, "compact", "--revision", str(result["revision"]), timeout=LONG)
        for host in planes:
            await site.run(host, f"rm -rf {INCOMING}")
    await recorder.finish(State.DONE)
    return result


async def _send_secrets(site: Site, host: str, source: Source, *, with_pki: bool) -> None:
    """The keys to every control plane; the authorities to the one that site.yml takes them from."""
    await site.run(host, f"rm -rf {INCOMING} && mkdir -p -m 0700 {INCOMING}")
    if source.encryption:
        await copy_to(site, host, source.encryption, f"{INCOMING}/{snapshots.ENCRYPTION}")
    if with_pki and source.manifest:
        for file in source.manifest.files:
            if file.startswith(f"{snapshots.PKI}/"):
                await copy_to(site, host, source.path / file, f"{INCOMING}/{file}")


# ----- room


async def defragment(operation: Operation, hosts: list[str]) -> list[dict[str, Any]]:
    """One member after the other; the hosts in the order that :func:`space.order` gave. Raises HostError."""
    recorder = operation.recorder(
        "etcd-defrag", {f"{host}/defrag": "give back free pages" for host in hosts}, {}
    )
    results = []
    for host in hosts:
        async with recorder.step(f"{host}/defrag") as entry:
            done = await ask(operation.site, host, "defrag", timeout=LONG)
            entry.detail = f"{done['before'] >> 10} → {done['after'] >> 10} KiB in {done['seconds']} s"
            results.append(done)
    await recorder.finish(State.DONE)
    return results


async def mend(operation: Operation, hosts: list[str]) -> dict[str, Any]:
    """Forget old revisions, give back their pages, clear the alarms. Raises HostError."""
    first = hosts[0]
    await ask(operation.site, first, "compact", timeout=LONG)
    await defragment(operation, hosts)
    result: dict[str, Any] = await ask(operation.site, first, "disarm")
    return result


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)
