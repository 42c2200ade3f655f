"""One pod's worker: looks, plans, acts, publishes the status; one task from the pod's arrival to its end.

The stages are drawn in docs/agent-states.md. A stage only ever moves forward: RUNNING → STOPPING → STOPPED → GONE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from kdist.agent.cri import errors
from kdist.agent.interfaces import VolumeError
from kdist.agent.pods import deadline
from kdist.agent.pods import plan as plans
from kdist.agent.pods import spec as specs
from kdist.agent.pods import status as statuses
from kdist.agent.pods.actions import ActionError, Executor
from kdist.agent.pods.ground import Ground
from kdist.agent.pods.holds import Holds
from kdist.agent.pods.host import Host
from kdist.agent.pods.interrupts import Interrupted, until
from kdist.agent.pods.observed import Observed
from kdist.agent.pods.stages import Signals, Stage, advance
from kdist.agent.probes.prober import Verdicts
from kdist.api import meta
from kdist.api import pods as api_pods
from kdist.api.errors import ApiError
from kdist.api.meta import Obj
from kdist.client.rest import Unreachable
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
T = TypeVar("T")
Verdict = tuple[str, str, str]

# A failed step is tried again after this long, doubling up to the maximum.
RETRY_FIRST, RETRY_MAXIMUM = 0.2, 60.0


class PodWorker:
    """See the module's text. ``update``, ``remove``, ``evict`` and ``wake`` may be called at any time."""

    def __init__(self, host: Host, pod: Obj) -> None:
        self.pod = pod
        self.stage = Stage.RUNNING
        self._host = host
        self._executor = Executor(host, pod, self._pausable)
        self._ground = Ground(host, self._executor, self._pausable)
        self._holds = Holds()
        self._verdict: Verdict | None = None
        self._removed = False
        self._rejected = False
        self._retry = RETRY_FIRST
        self._stop_by: float | None = None
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._own_status: Obj | None = None
        if meta.is_deleting(pod):
            self._stop.set()

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return meta.uid(self.pod)

    @property
    def removed(self) -> bool:
        """Whether the source took the pod away, so that it only ends."""
        return self._removed

    # What happens to the pod.

    def update(self, pod: Obj) -> None:
        """The source has a new version of the pod."""
        before = specs.grace_seconds(self.pod)
        if self._own_status is not None:
            merged = statuses.merge(self._own_status, pod.get("status") or {})
            pod = {**pod, "status": merged}
        self.pod = self._executor.pod = pod
        if meta.is_deleting(pod):
            self._request_stop(hurry=specs.grace_seconds(pod) < before)
        self._wake.set()

    def remove(self) -> None:
        """The source does not have the pod any more."""
        self._removed = True
        self._request_stop()

    def evict(self, reason: str, message: str) -> None:
        """End the pod as Failed, for this reason."""
        self._fail(("Failed", reason, message))

    def reject(self, reason: str, message: str) -> None:
        """Never begin the pod: it is Failed, for this reason."""
        self._rejected = True
        self.evict(reason, message)

    def wake(self) -> None:
        """Something the plan depends on may have changed."""
        self._wake.set()

    def _fail(self, verdict: Verdict) -> None:
        if self._verdict is None and self.stage is Stage.RUNNING:
            self._verdict = verdict
            self._request_stop()

    def _request_stop(self, hurry: bool = False) -> None:
        self._stop.set()
        self._wake.set()
        if hurry:
            self._stop_by = None
            self._hurry.set()

    async def _pausable(self, work: Awaitable[T]) -> T:
        """Await something long, but not beyond the moment the pod has to stop. Raises Interrupted."""
        return await until(work, self._stop)

    # The loop.

    async def run(self) -> None:
        """Work until nothing of the pod is left."""
        telemetry.context.set({"pod": meta.key(self.pod), "uid": self.uid})
        while self.stage is not Stage.GONE:
            self._wake.clear()
            pause = await self._supervised_step()
            if pause is None or pause > 0:
                await self._sleep(pause)

    async def _sleep(self, pause: float | None) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _supervised_step(self) -> float | None:
        try:
            pause = await self._step()
        except Interrupted:
            return 0.0
        except ActionError as error:
            self._note(error)
            return self._next_retry()
        except (errors.CriError, VolumeError, ApiError, Unreachable, OSError) as error:
            log.warning("pod cannot be brought to its state", error=error)
            return self._next_retry()
        except Exception:  # The supervisor: a defect with one pod must not stop the others.
            log.error("pod worker failed", exc_info=True)
            return self._next_retry()
        self._retry = RETRY_FIRST
        return pause

    def _next_retry(self) -> float:
        pause, self._retry = self._retry, min(self._retry * 2, RETRY_MAXIMUM)
        return pause

    async def _step(self) -> float | None:
        match self.stage:
            case Stage.RUNNING:
                return await self._run_step()
            case Stage.STOPPING:
                return await self._stop_step()
            case _:
                return await self._remove_step()

    def _advance(self, **signals: bool) -> bool:
        """Move to the next stage if the signals say so, and tell whether they did."""
        before, self.stage = self.stage, advance(self.stage, Signals(**signals))
        return self.stage is not before

    # Running.

    async def _run_step(self) -> float | None:
        observed = await self._observe()
        if self._advance(
            stop=self._overdue() or self._stop.is_set(), terminal=api_pods.is_terminal(self.pod)
        ):
            return 0.0
        verdicts = self._probe(observed)
        wait = self._holds.left(self.pod, observed, self._host.clock())
        plan = plans.plan(self.pod, observed, plans.Facts(wait, verdicts.failing, verdicts.started))
        starts = (a.name for a in plan.actions if isinstance(a, plans.StartContainer))
        self._holds.planned(starts, plan.waiting)
        self._publish(observed)
        if self._advance(finished=plan.finished):
            return 0.0
        if not self._network_allows(plan):
            return 2.0
        if plan.actions:
            await self._ground.prepare(self.pod)
            await self._act(plan.actions)
            return 0.0
        return await self._idle(plan)

    async def _observe(self) -> Observed:
        observed = self._host.cache.get(self.uid)
        return observed if observed.sandboxes else await self._host.cache.refresh(self.uid)

    def _network_allows(self, plan: plans.Plan) -> bool:
        wants = any(isinstance(a, plans.CreateSandbox) for a in plan.actions)
        if not wants or specs.host_network(self.pod) or self._host.health.network_ready:
            return True
        message = f"network is not ready: {self._host.health.network_message}"
        self._host.record(self.pod, "", "Warning", "NetworkNotReady", message)
        return False

    def refresh_soon(self) -> None:
        """Bring the files of the pod's volumes up to date at once."""
        self._ground.refresh_soon()
        self.wake()

    async def _act(self, actions: tuple[plans.Action, ...]) -> None:
        for action in actions:
            observed = self._host.cache.get(self.uid)
            try:
                await self._do(action, observed)
            finally:
                observed = await self._host.cache.refresh(self.uid)
            self._probe(observed)
            if self._stop.is_set():
                raise Interrupted
            self._holds.acted(action)
            self._publish(observed)

    async def _do(self, action: plans.Action, observed: Observed) -> None:
        parent = self._ground.parent(self.pod)
        match action:
            case plans.CreateSandbox():
                await self._executor.create_sandbox(action, parent)
            case plans.StartContainer():
                await self._start(action, observed, parent)
            case plans.KillContainer():
                grace = specs.grace_seconds(self.pod) if action.grace is None else action.grace
                await self._executor.kill_container(action, grace, self._ips(observed))
            case plans.StopSandbox():
                await self._executor.stop_sandbox(action)
            case plans.RemoveSandbox():
                await self._executor.remove_sandbox(action)
            case plans.RemoveContainer():
                await self._executor.remove_container(action, observed)

    async def _start(self, action: plans.StartContainer, observed: Observed, parent: str) -> None:
        container = specs.find_container(self.pod, action.name)
        if container is not None and observed.newest(action.name) is not None:
            self._holds.restarts(container, self._host.clock())
        try:
            await self._executor.start_container(action, observed, parent)
        except ActionError as error:
            # The other containers of the pod do not wait for this one.
            self._note(error)
            return
        self._holds.started(action.name)

    def _note(self, error: ActionError) -> None:
        log.info("pod action failed", container=error.container, reason=error.reason, error=error)
        self._holds.failed(error, self._host.clock())

    async def _idle(self, plan: plans.Plan) -> float:
        pauses = [await self._ground.keep(self.pod)]
        pauses += [wait.seconds for wait in plan.waiting.values()]
        left = deadline.left(self.pod, self._host.clock())
        if left is not None:
            pauses.append(left)
        return max(0.01, min(pauses))

    def _overdue(self) -> bool:
        left = deadline.left(self.pod, self._host.clock())
        if left is not None and left <= 0:
            self._host.record(self.pod, "", "Normal", *deadline.EXCEEDED[1:])
            self._fail(deadline.EXCEEDED)
            return True
        return False

    # Stopping and after.

    async def _stop_step(self) -> float | None:
        observed = await self._host.cache.refresh(self.uid)
        self._host.prober.sync(self.pod, observed, self._ips(observed), stopping=True)
        self._publish(observed)
        plan = plans.plan_termination(self.pod, observed)
        if plan.finished:
            return await self._after_stop(observed)
        self._hurry.clear()
        # A shorter grace period interrupts the longer one.
        await until(self._stop_all(plan.actions, observed), self._hurry)
        return 0.0

    async def _stop_all(self, actions: tuple[plans.Action, ...], observed: Observed) -> None:
        steps = [self._stop_action(action, observed) for action in actions]
        for outcome in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _stop_action(self, action: plans.Action, observed: Observed) -> None:
        if isinstance(action, plans.KillContainer):
            await self._executor.kill_container(action, self._grace_left(), self._ips(observed))
        else:
            await self._do(action, observed)

    def _grace_left(self) -> float:
        """What is left of the pod's grace period, which all its containers share."""
        now = self._host.clock()
        if self._stop_by is None:
            self._stop_by = now + specs.grace_seconds(self.pod)
        return max(0.0, self._stop_by - now)

    async def _after_stop(self, observed: Observed) -> float | None:
        self._host.prober.forget(self.uid)
        await self._ground.clear(self.pod)
        self._advance(idle=True)
        return 0.0

    async def _remove_step(self) -> float | None:
        observed = self._host.cache.get(self.uid)
        self._publish(observed)
        if not self._removed:
            if meta.is_deleting(self.pod):
                self._host.publisher.finish(self.pod)
            return None
        plan = plans.plan_removal(await self._host.cache.refresh(self.uid))
        for action in plan.actions:
            await self._do(action, observed)
        await self._executor.clean_up()
        await self._host.cache.refresh(self.uid)
        self._host.images.forget(self.uid)
        self._advance(removed=True, clean=True)
        return 0.0

    # Status.

    def _ips(self, observed: Observed) -> tuple[str, ...]:
        if specs.host_network(self.pod):
            return self._host.node.host_ips
        return observed.sandbox.ips if observed.sandbox else ()

    def _probe(self, observed: Observed) -> Verdicts:
        self._host.prober.sync(self.pod, observed, self._ips(observed))
        return self._host.prober.verdicts(observed)

    def _status(self, observed: Observed) -> Obj:
        verdicts = self._host.prober.verdicts(observed)
        facts = statuses.StatusFacts(
            now=meta.now(),
            host_ips=self._host.node.host_ips,
            waiting=self._holds.waiting if self.stage is Stage.RUNNING else {},
            ready=verdicts.ready,
            started=verdicts.started,
            stopped=self.stage in (Stage.STOPPED, Stage.GONE) and self._stop.is_set(),
            verdict=self._verdict,
            rejected=self._rejected,
        )
        return statuses.build(self.pod, observed, facts)

    def _publish(self, observed: Observed) -> None:
        if self._removed or (self._holds.replacing and self.stage is Stage.RUNNING):
            return
        self._own_status = self._status(observed)
        self.pod = self._executor.pod = {**self.pod, "status": self._own_status}
        self._host.publisher.publish(self.pod)
