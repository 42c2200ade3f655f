"""Doing the steps of a plan, one after the other, with the journal written around each.

Both directions are done here: ``upgrade`` changes a host by the roles, ``rollback`` puts back what lies on its disk. A
host whose step fails is taken back to what it ran and given back to the scheduler; then the operation stops with a
report. Every step converges, so ``resume`` does the one again that was under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.api.errors import ApiError
from kdist.client.rest import Unreachable
from kdist.lifecycle.operation.api import Api
from kdist.lifecycle.operation.journal import ClusterCopy, Entry, Journal, Recorder, State
from kdist.lifecycle.operation.lock import Held, LockHeld, still_held
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import Event, PlaybookFailed, run_playbook
from kdist.lifecycle.operation.site import Site
from kdist.lifecycle.upgrade import addons, drain, gates, observe, snapshot
from kdist.lifecycle.upgrade.gates import ClusterView, HostView
from kdist.lifecycle.upgrade.plan import Action, Target

POLL_SECONDS = 1.0
STEP_ERRORS = (ApiError, Unreachable, HostError, PlaybookFailed, drain.DrainFailed)
Judge = Callable[[ClusterView], list[str]]


class GateClosed(Exception):
    """A gate did not open in time; every reason on a line of its own."""


class UpgradeFailed(Exception):
    """The operation stopped; the text is the report."""


class Paused(Exception):
    """Somebody asked for a pause; ``resume`` goes on."""


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds of an upgrade: seconds a drain and a gate may take, workers away at once (``1``, ``25%``)."""

    drain_timeout: float = 300
    gate_timeout: float = 300
    max_unavailable: str = "1"


def phases(journal: Journal) -> list[list[list[Entry]]]:
    """What is done one after the other: each phase holds chains of steps that go on at the same time. Pure."""
    wave_of = {host: tuple(wave) for wave in journal.about["waves"] for host in wave}
    found: list[list[list[Entry]]] = []
    begun = set[tuple[str, ...]]()
    for entry in journal.entries:
        if not entry.host:
            found.append([[entry]])
        elif (wave := wave_of[entry.host]) not in begun:
            begun.add(wave)
            found.append([[e for e in journal.entries if e.host == host] for host in wave])
    return found


class Upgrade:
    """One run of an operation, new or resumed."""

    def __init__(
        self,
        site: Site,
        api: Api,
        held: Held,
        recorder: Recorder,
        options: Options,
        note: Callable[[str, str], None] = lambda host, text: None,
    ) -> None:
        self._site, self._api, self._held = site, api, held
        self._recorder, self._options, self._note = recorder, options, note
        self._about: dict[str, Any] = recorder.journal.about
        self._vip = site.spec.settings.api_vip is not None
        self._copy = ClusterCopy(api.client, "upgrade")

    async def run(self) -> None:
        """Do what is left. Raises UpgradeFailed, Paused and LockHeld."""
        await self._recorder.finish(State.RUNNING)
        for phase in phases(self._recorder.journal):
            if all(entry.state is State.DONE for chain in phase for entry in chain):
                continue
            await self._pause_if_asked()
            await self._check_lock()
            ends = await asyncio.gather(*(self._chain(chain) for chain in phase), return_exceptions=True)
            reports = [end for end in ends if isinstance(end, BaseException)]
            for report in reports:
                if not isinstance(report, UpgradeFailed):
                    raise report
            if reports:
                told = "\n".join(map(str, reports))
                await self._recorder.finish(State.FAILED, told)
                raise UpgradeFailed(told)
        await self._recorder.finish(State.DONE)

    async def _pause_if_asked(self) -> None:
        if pause_file(self._site).exists() or await self._copy.flag("pause"):
            await self._recorder.finish(State.PAUSED)
            raise Paused

    async def _check_lock(self) -> None:
        try:
            await still_held(self._site, self._held)
        except LockHeld as error:
            await self._recorder.finish(State.FAILED, str(error))
            raise

    async def _chain(self, entries: Sequence[Entry]) -> None:
        """The steps of one host, or one step of the cluster."""
        for entry in entries:
            if entry.state is State.DONE:
                continue
            again = entry.state is not State.PENDING
            try:
                async with self._recorder.step(entry.name):
                    entry.detail = await self._do(entry)
                    if again and entry.name.endswith(f"/{Action.UPGRADE}"):
                        await self._restart(entry.host)
            except (*STEP_ERRORS, GateClosed) as error:
                undone = await self._undo(entry, entries)
                raise UpgradeFailed(f"{entry.name} failed: {error}\n{undone}") from error
            except asyncio.CancelledError:
                await asyncio.shield(self._undo(entry, entries))
                raise

    async def _do(self, entry: Entry) -> str:
        steps: dict[Action, Callable[[str], Awaitable[str]]] = {
            Action.SNAPSHOT: self._snapshot,
            Action.STAGE: self._stage,
            Action.DRAIN: self._drain,
            Action.UPGRADE: self._upgrade,
            Action.RESTORE: self._restore,
            Action.VERIFY: self._verify,
            Action.RETURN: self._return,
            Action.ADDONS: self._addons,
            Action.CHECK: self._check,
        }
        return await steps[Action(entry.name.rpartition("/")[2])](entry.host)

    # -- the steps

    async def _snapshot(self, host: str) -> str:
        return await snapshot.take(self._site)

    async def _stage(self, host: str) -> str:
        hosts = [name for wave in self._about["waves"] for name in wave]
        await self._play("playbooks/stage.yml", hosts)
        return ""

    async def _drain(self, host: str) -> str:
        await drain.cordon(self._api.client, host, "kdist upgrade")
        went = await drain.drain(
            self._api.client,
            host,
            timeout=self._options.drain_timeout,
            tell=lambda text: self._note(host, text),
        )
        return f"{went} pods evicted"

    async def _upgrade(self, host: str) -> str:
        operation = f"{self._recorder.journal.began:.0f}"
        await observe.keep(self._site, host, "save", self._from(host).version, operation)
        changed = await self._play("site.yml", [host], skip=["addons"])
        return f"{changed.get(host, 0)} changes"

    async def _restart(self, host: str) -> None:
        """A playbook that was killed between a change and its handlers has left services that run what was before."""
        services = "containerd kdist-agent"
        await self._site.run(host, f"systemctl daemon-reload && systemctl restart {services}", timeout=120)

    async def _restore(self, host: str) -> str:
        done = await observe.keep(self._site, host, "restore", self._to.version, timeout=120)
        return f"{len(done['changed'])} changes"

    async def _verify(self, host: str) -> str:
        return await self._gate(self._judge(host, self._to), etcd=host in self._site.control_planes)

    async def _return(self, host: str) -> str:
        await drain.uncordon(self._api.client, host)
        return await self._gate(lambda view: gates.still_missing(view, self._about["whole"]), etcd=False)

    async def _addons(self, host: str) -> str:
        if self._about["direction"] == "rollback":
            changed = await addons.put_back(self._api.client, self._about["addons"])
            return f"{changed} changes"
        done = await self._play("site.yml", [self._site.control_planes[0]], tags=["addons"])
        return f"{sum(done.values())} changes"

    async def _check(self, host: str) -> str:
        def judge(view: ClusterView) -> list[str]:
            hosts = [reason for name in self._site.names for reason in self._judge(name, self._to)(view)]
            left = [f"{name}: is still cordoned by an upgrade" for name in gates.left_cordoned(view)]
            return list(dict.fromkeys([*hosts, *left, *gates.still_missing(view, self._about["whole"])]))

        return await self._gate(judge, etcd=True)

    # -- and back

    async def _undo(self, failed: Entry, entries: Sequence[Entry]) -> str:
        """Take back what a failed step of a host has begun; what to tell about it."""
        if not failed.host:
            return await self._undo_addons(failed)
        host, told = failed.host, []
        changed = any(e.name == f"{host}/{Action.UPGRADE}" and e.state is not State.PENDING for e in entries)
        try:
            if changed:
                back = self._from(host)
                await observe.keep(self._site, host, "restore", back.version, timeout=120)
                await self._gate(self._judge(host, back), etcd=host in self._site.control_planes)
                told.append(f"{host} runs {back.version} again")
        except (*STEP_ERRORS, GateClosed) as error:
            told.append(f"{host} could not be taken back: {error}")
        try:
            await drain.uncordon(self._api.client, host)
            told.append(f"{host} takes pods again")
        except (ApiError, Unreachable) as error:
            told.append(f"{host} is left cordoned: {error}")
        for entry in entries:
            if entry.state not in (State.PENDING, State.FAILED):
                await self._recorder.mark(entry, State.UNDONE, "taken back")
        return "; ".join(told) + ". Mend the cause, then `kdist upgrade resume`, or `kdist upgrade rollback`"

    async def _undo_addons(self, failed: Entry) -> str:
        advice = "Mend the cause, then `kdist upgrade resume`, or `kdist upgrade rollback`"
        if failed.name != Action.ADDONS or self._about["direction"] == "rollback":
            return f"No host was changed by this step. {advice}"
        try:
            await addons.put_back(self._api.client, self._about["addons"])
        except (ApiError, Unreachable) as error:
            return f"Add-ons could not be taken back: {error}. {advice}"
        return f"Add-ons run their former version again. {advice}"

    # -- what they share

    @property
    def _to(self) -> Target:
        return Target(**self._about["to"])

    def _from(self, host: str) -> Target:
        return Target(**self._about["from"][host])

    def _judge(self, host: str, target: Target) -> Judge:
        plane = host in self._site.control_planes
        view_of = HostView(host, plane)
        return lambda view: gates.host_open(view, view_of, target, self._site.control_planes, vip=self._vip)

    async def _gate(self, judge: Judge, *, etcd: bool) -> str:
        began = time.monotonic()
        while True:
            try:
                reasons = judge(await observe.cluster(self._site, self._api, etcd=etcd))
            except (ApiError, Unreachable) as error:
                reasons = [f"no API server answers: {error}"]
            if not reasons:
                return f"after {time.monotonic() - began:.0f} s"
            if time.monotonic() - began > self._options.gate_timeout:
                raise GateClosed(f"not within {self._options.gate_timeout:.0f} s:\n  " + "\n  ".join(reasons))
            await asyncio.sleep(POLL_SECONDS)

    async def _play(
        self, playbook: str, hosts: Sequence[str], *, tags: Sequence[str] = (), skip: Sequence[str] = ()
    ) -> dict[str, int]:
        def follow(event: Event) -> None:
            if event.kind == "task":
                for host in hosts:
                    self._note(host, event.task)

        return await run_playbook(
            self._site,
            playbook,
            self._held,
            limit=hosts,
            extra={"operation_upgrade": True, "kdist_bundle": self._about["bundle"]},
            tags=tags,
            skip_tags=skip,
            on_event=follow,
        )


def pause_file(site: Site) -> Path:
    """Its presence asks for a pause."""
    return site.state / "upgrade.pause"
