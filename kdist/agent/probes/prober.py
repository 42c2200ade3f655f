"""The probes of all pods: one task for each probe of a running container, and their verdicts.

Readiness and liveness wait for the startup probe. Tasks follow a container id: a restart begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kdist.agent.pods import spec as specs
from kdist.agent.pods.observed import Container, Observed
from kdist.agent.pods.plan import Failure
from kdist.agent.probes.handlers import Handlers, Target
from kdist.agent.probes.tally import Kind, Settings, Tally
from kdist.api import meta
from kdist.api.meta import Obj

# (pod, container name, type, reason, message)
Record = Callable[[Obj, str, str, str, str], None]


@dataclass(slots=True)
class _Watched:
    """One run of a container under probes."""

    container_id: str
    tallies: dict[Kind, Tally]
    tasks: dict[Kind, asyncio.Task[None]] = field(default_factory=dict)
    startup_passed: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        for task in self.tasks.values():
            task.cancel()


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the probes of a pod say of its running containers."""

    ready: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    failing: dict[str, Failure] = field(default_factory=dict)


class Prober:
    """Owns the probe tasks. ``on_change`` is called with a pod's uid when a verdict changes."""

    def __init__(self, handlers: Handlers, on_change: Callable[[str], None], record: Record) -> None:
        self._handlers, self._on_change, self._record = handlers, on_change, record
        self._watched: dict[tuple[str, str], _Watched] = {}

    def sync(self, pod: Obj, observed: Observed, ips: tuple[str, ...], *, stopping: bool = False) -> None:
        """Begin and end probes so that they match what runs. A stopping pod keeps only readiness probes."""
        uid = meta.uid(pod)
        running = {c.name: c for c in observed.running}
        for key in [k for k in self._watched if k[0] == uid]:
            run = running.get(key[1])
            if run is None or run.id != self._watched[key].container_id:
                self._watched.pop(key).stop()
        for container in specs.all_containers(pod):
            name = container["name"]
            if name in running and (uid, name) not in self._watched and not stopping:
                self._watched[uid, name] = self._begin(pod, container, running[name], ips)
        if stopping:
            self._only_readiness(uid)

    def _begin(self, pod: Obj, container: Obj, run: Container, ips: tuple[str, ...]) -> _Watched:
        kinds = [k for k in Kind if container.get(k.value)]
        watched = _Watched(run.id, {k: Tally(Settings.of(k, container[k.value])) for k in kinds})
        before = _status_of(pod, run)
        if Kind.STARTUP not in watched.tallies or before.get("started"):
            watched.startup_passed.set()
        if Kind.STARTUP in watched.tallies and before.get("started"):
            watched.tallies[Kind.STARTUP].verdict = True
        if Kind.READINESS in watched.tallies and before.get("ready"):
            # The agent restarted, the container did not: it stays ready until a probe says otherwise.
            watched.tallies[Kind.READINESS].verdict = True
        target = Target(run.id, ips[0] if ips else "", container)
        for kind, tally in watched.tallies.items():
            if kind is Kind.STARTUP and tally.verdict:
                continue
            probe = self._probe(pod, run, target, tally, watched)
            name = f"{kind.value} {meta.key(pod)}/{run.name}"
            watched.tasks[kind] = asyncio.create_task(probe, name=name)
        return watched

    async def _probe(self, pod: Obj, run: Container, target: Target, tally: Tally, watched: _Watched) -> None:
        settings = tally.settings
        if settings.kind is not Kind.STARTUP:
            await watched.startup_passed.wait()
        age = time.time() - run.started_at / 1e9
        await asyncio.sleep(max(0.0, settings.initial_delay - age))
        while True:
            outcome = await self._handlers.run(settings.action, target, settings.timeout)
            if not outcome.ok:
                message = f"{settings.kind.word} probe failed: {outcome.output}"
                self._record(pod, run.name, "Warning", "Unhealthy", message)
            if tally.add(outcome.ok):
                self._on_change(meta.uid(pod))
                if settings.kind is Kind.STARTUP and outcome.ok:
                    watched.startup_passed.set()
                if settings.kind is Kind.STARTUP or (settings.kind is Kind.LIVENESS and not outcome.ok):
                    return  # Started for good, or given up: the container is going to be killed.
            await asyncio.sleep(tally.next_pause())

    def _only_readiness(self, uid: str) -> None:
        for (owner, _), watched in self._watched.items():
            if owner == uid:
                for kind, task in watched.tasks.items():
                    if kind is not Kind.READINESS:
                        task.cancel()

    def verdicts(self, observed: Observed) -> Verdicts:
        """The verdicts on the containers of one pod that run now."""
        ready, started, failing = set(), set(), {}
        for run in observed.running:
            watched = self._watched.get((observed.uid, run.name))
            if watched is None or watched.container_id != run.id:
                continue
            if watched.startup_passed.is_set():
                started.add(run.name)
                readiness = watched.tallies.get(Kind.READINESS)
                if readiness is None or readiness.verdict:
                    ready.add(run.name)
            for kind in (Kind.STARTUP, Kind.LIVENESS):
                tally = watched.tallies.get(kind)
                if tally is not None and tally.verdict is False:
                    failing[run.name] = Failure(kind.word.lower(), tally.settings.grace)
        return Verdicts(frozenset(ready), frozenset(started), failing)

    def forget(self, uid: str) -> None:
        """End every probe of a pod."""
        for key in [k for k in self._watched if k[0] == uid]:
            self._watched.pop(key).stop()


def _status_of(pod: Obj, run: Container) -> Obj:
    """The container's status in the API, if it tells of this very run."""
    status = pod.get("status") or {}
    for field_name in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(field_name) or ():
            if str(one.get("containerID", "")).endswith(run.id):
                return dict(one)
    return {}
