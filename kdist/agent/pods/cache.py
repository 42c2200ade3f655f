"""The runtime's state of every pod, kept fresh by its events and a slow relist.

Workers ask :meth:`RuntimeCache.get`; after an action of their own they :meth:`~RuntimeCache.refresh`. Changes
that nobody here made (a process ended) come in by events within milliseconds, or by the relist at the latest.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import errors, labels
from kdist.agent.cri.client import CriClient
from kdist.agent.pods.messages import termination_message
from kdist.agent.pods.observed import Container, Observed, Sandbox, State
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)

RELIST_WITH_EVENTS = 10.0
RELIST_ALONE = 1.0
# containerd's stream can be ahead of its CRI records: look again after these pauses.
_SETTLE = (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 1.0)
_STATES = {
    pb.CONTAINER_CREATED: State.CREATED,
    pb.CONTAINER_RUNNING: State.RUNNING,
    pb.CONTAINER_EXITED: State.EXITED,
    pb.CONTAINER_UNKNOWN: State.UNKNOWN,
}
_Fingerprint = frozenset[tuple[str, int]]


class RuntimeCache:
    """What the runtime has, by pod uid."""

    def __init__(self, cri: CriClient, on_change: Callable[[str], None]) -> None:
        """``on_change`` is called with the uid of a pod whose state changed without a refresh by its worker."""
        self._cri = cri
        self._on_change = on_change
        self._pods: dict[str, Observed] = {}
        self._seen: dict[str, _Fingerprint] = {}
        self._containers: dict[str, Container] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._owner: dict[str, str] = {}
        self._turn = 0
        self._loaded: dict[str, int] = {}
        self.listed = asyncio.Event()

    def get(self, uid: str) -> Observed:
        """What was last observed of a pod."""
        return self._pods.get(uid) or Observed(uid)

    def uids(self) -> Iterable[str]:
        """Every pod that the runtime has anything of."""
        return list(self._pods)

    def is_running(self, container_id: str) -> bool:
        """Whether a container runs, as far as is known."""
        container = self._containers.get(container_id)
        return container is not None and container.running

    def running(self) -> Iterable[Container]:
        """Every container that runs."""
        return [c for c in self._containers.values() if c.running]

    async def refresh(self, uid: str) -> Observed:
        """Ask the runtime about one pod now. Raises CriError."""
        turn = self._next_turn()
        selector = {labels.POD_UID: uid}
        sandboxes = await self._cri.list_sandboxes(selector)
        containers = await self._cri.list_containers(selector)
        await self._load(uid, sandboxes, containers, turn)
        return self.get(uid)

    async def relist(self) -> None:
        """Compare everything with what is known; load and tell of pods that changed. Raises CriError."""
        turn = self._next_turn()
        sandboxes: dict[str, list[pb.PodSandbox]] = defaultdict(list)
        containers: dict[str, list[pb.Container]] = defaultdict(list)
        for sandbox in await self._cri.list_sandboxes():
            sandboxes[sandbox.labels.get(labels.POD_UID, "")].append(sandbox)
        for container in await self._cri.list_containers():
            containers[container.labels.get(labels.POD_UID, "")].append(container)
        for uid in {*sandboxes, *containers, *self._pods} - {""}:
            if _fingerprint(sandboxes[uid], containers[uid]) != self._seen.get(uid, frozenset()):
                await self._load(uid, sandboxes[uid], containers[uid], turn)
                self._on_change(uid)
        self.listed.set()

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    async def _load(
        self, uid: str, sandboxes: Sequence[pb.PodSandbox], containers: Sequence[pb.Container], turn: int
    ) -> None:
        boxes = [await self._sandbox(one) for one in sandboxes]
        runs = [run for one in containers if (run := await self._container(one)) is not None]
        # Answers may overtake each other: what was asked later wins.
        if self._loaded.get(uid, 0) > turn:
            return
        for gone in {i for i, _ in self._seen.get(uid, ())} - {s.id for s in boxes} - {c.id for c in runs}:
            for index in (self._owner, self._containers, self._sandboxes):
                index.pop(gone, None)
        self._owner.update({box.id: uid for box in boxes})
        self._owner.update({run.id: uid for run in runs})
        if not boxes and not runs:
            for known in (self._pods, self._seen, self._loaded):
                known.pop(uid, None)
            return
        self._loaded[uid], self._seen[uid] = turn, _fingerprint(sandboxes, containers)
        first = (sandboxes or containers)[0].labels
        self._pods[uid] = Observed(
            uid,
            first.get(labels.POD_NAMESPACE, ""),
            first.get(labels.POD_NAME, ""),
            tuple(sorted(boxes, key=lambda s: (-s.created_at, -s.attempt))),
            tuple(sorted(runs, key=lambda c: (-c.created_at, -c.attempt))),
        )

    async def _sandbox(self, listed: pb.PodSandbox) -> Sandbox:
        ready = listed.state == pb.SANDBOX_READY
        known = self._sandboxes.get(listed.id)
        if known is not None and known.ready == ready:
            return known
        ips: list[str] = []
        if ready:
            try:
                network = (await self._cri.sandbox_status(listed.id)).network
                ips = [ip for ip in (network.ip, *(a.ip for a in network.additional_ips)) if ip]
            except errors.CriNotFound:
                ready = False
        grace = listed.annotations.get(labels.GRACE_PERIOD)
        sandbox = Sandbox(
            listed.id, listed.metadata.attempt, ready, listed.created_at, tuple(ips),
            listed.annotations.get(labels.CONFIG_SOURCE, ""), int(grace) if grace else None,
        )  # fmt: skip
        self._sandboxes[listed.id] = sandbox
        return sandbox

    async def _container(self, listed: pb.Container) -> Container | None:
        known = self._containers.get(listed.id)
        if known is not None and known.state is _STATES[listed.state]:
            return known
        try:
            status = await self._cri.container_status(listed.id)
        except errors.CriNotFound:
            return None
        container = _container(status, listed.pod_sandbox_id)
        self._containers[listed.id] = container
        return container

    # Keeping fresh.

    async def watch(self) -> None:
        """Follow the runtime until cancelled: events when it has them, relists always."""
        async with asyncio.TaskGroup() as group:
            events = group.create_task(self._follow_events(group), name="runtime events")
            while True:
                try:
                    await self.relist()
                except errors.CriError as error:
                    log.warning("the container runtime does not answer", error=error)
                streaming = not events.done() and self.listed.is_set()
                await asyncio.sleep(RELIST_WITH_EVENTS if streaming else RELIST_ALONE)

    async def _follow_events(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                async for ended in self._cri.container_exits():
                    group.create_task(self._settle(ended), name="runtime event")
            except errors.CriUnimplemented:
                log.warning("the container runtime has no events: listing every second")
                return
            except errors.CriError as error:
                log.info("runtime events ended", error=error)
            await asyncio.sleep(0.5)

    async def _settle(self, ended: str) -> None:
        """Look until the records agree that this container or sandbox has ended; then tell."""
        for pause in _SETTLE:
            await asyncio.sleep(pause)
            # A short-lived process may be over before its worker has even seen it running.
            uid = self._owner.get(ended)
            if uid is None:
                continue
            try:
                observed = await self.refresh(uid)
            except errors.CriError as error:
                log.info("an ended container cannot be looked at", container=ended, error=error)
                return
            running = any(c.id == ended for c in observed.running)
            if not running and not any(s.id == ended and s.ready for s in observed.sandboxes):
                self._on_change(uid)
                return


def _fingerprint(sandboxes: Iterable[pb.PodSandbox], containers: Iterable[pb.Container]) -> _Fingerprint:
    return frozenset(
        [*((s.id, int(s.state)) for s in sandboxes), *((c.id, int(c.state)) for c in containers)]
    )


def _container(status: pb.ContainerStatus, sandbox_id: str) -> Container:
    notes = status.annotations
    state = _STATES[status.state]
    ended = state in (State.EXITED, State.UNKNOWN)
    grace = notes.get(labels.GRACE_PERIOD)
    return Container(
        id=status.id,
        name=status.labels.get(labels.CONTAINER_NAME) or status.metadata.name,
        sandbox_id=sandbox_id,
        state=state,
        attempt=int(notes.get(labels.RESTART_COUNT) or status.metadata.attempt),
        hash=notes.get(labels.CONTAINER_HASH, ""),
        image=status.image.image,
        image_id=status.image_ref,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=termination_message(status) if ended else "",
        log_path=Path(status.log_path),
        grace_seconds=int(grace) if grace else None,
    )
