"""What to do next for one pod: desired pod and observed runtime state in, actions out. Pure.

Three plans, one for each stage of a pod's life on the node (drawn in docs/agent-states.md):
:func:`plan` while it should run, :func:`plan_termination` while it is stopped, :func:`plan_removal` when
nothing may be left of it. A plan is made anew after its actions were done, so it only ever looks one step ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kdist.agent.pods import spec as specs
from kdist.agent.pods.observed import Container, Observed
from kdist.api.meta import Obj


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Create the pod's sandbox; ``attempt`` above 0 means that an earlier one is gone."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Stop a sandbox and give its network back."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Remove a stopped sandbox."""

    id: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start a container; ``attempt`` is its restart count."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class KillContainer:
    """Stop a running container, hook first. ``grace`` None means the pod's own.

    ``replaced``: it makes room for its next version.
    """

    id: str
    name: str
    message: str
    grace: int | None = None
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container that ended, with its log."""

    id: str


Action = CreateSandbox | StopSandbox | RemoveSandbox | StartContainer | KillContainer | RemoveContainer


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a container is not started now: ``seconds`` left, and what its status says meanwhile."""

    seconds: float
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A liveness or startup probe that gave a container up; ``grace`` is the probe's own, if it has one."""

    probe: str
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan must know beside the two states. ``started`` holds sidecars that others may follow."""

    wait: Mapping[str, Wait] = field(default_factory=dict)
    failing: Mapping[str, Failure] = field(default_factory=dict)
    started: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order; containers that wait; ``finished`` when the pod has run to its end."""

    actions: tuple[Action, ...] = ()
    waiting: Mapping[str, Wait] = field(default_factory=dict)
    finished: bool = False


@dataclass(slots=True)
class _Draft:
    """A plan under way."""

    pod: Obj
    observed: Observed
    facts: Facts
    actions: list[Action] = field(default_factory=list)
    waiting: dict[str, Wait] = field(default_factory=dict)

    def start(self, container: Obj) -> None:
        """Start the container, or note why it waits."""
        name = container["name"]
        wait = self.facts.wait.get(name)
        if wait is not None and wait.seconds > 0:
            self.waiting[name] = wait
            return
        newest = self.observed.newest(name)
        self.actions.append(StartContainer(name, newest.attempt + 1 if newest else 0))

    def kill(
        self, container: Container, message: str, grace: int | None = None, replaced: bool = False
    ) -> None:
        """Stop a running container."""
        self.actions.append(KillContainer(container.id, container.name, message, grace, replaced))

    def current(self, name: str) -> Container | None:
        """The newest run of a container, if it is in the newest sandbox."""
        newest, sandbox = self.observed.newest(name), self.observed.sandbox
        return newest if newest and sandbox and newest.sandbox_id == sandbox.id else None

    def plan(self, finished: bool = False) -> Plan:
        """The finished draft."""
        return Plan(tuple(self.actions), self.waiting, finished)


def plan(pod: Obj, observed: Observed, facts: Facts) -> Plan:
    """The next steps of a pod that should run."""
    draft = _Draft(pod, observed, facts)
    draft.actions += _garbage(observed)
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.ready:
        return _plan_sandbox(draft)
    for container in specs.ephemeral_containers(pod):
        if observed.newest(container["name"]) is None:
            draft.start(container)
    initialized, failed = _plan_init(draft)
    if failed:
        return draft.plan(finished=True)
    if not initialized:
        return draft.plan()
    outcomes = [_plan_app(draft, container) for container in specs.containers(pod)]
    return draft.plan(finished=all(outcomes))


def _plan_sandbox(draft: _Draft) -> Plan:
    sandbox = draft.observed.sandbox
    if sandbox is not None and not _wants_to_run(draft.pod, draft.observed):
        return draft.plan(finished=True)
    for container in draft.observed.running:
        draft.kill(container, "Pod sandbox changed, it will be killed and re-created.")
    if sandbox is not None:
        draft.actions.append(StopSandbox(sandbox.id))
    draft.actions.append(CreateSandbox(sandbox.attempt + 1 if sandbox else 0))
    return draft.plan()


def _wants_to_run(pod: Obj, observed: Observed) -> bool:
    """Whether a pod that lost its sandbox has anything left to run."""
    apps = [observed.newest(c["name"]) for c in specs.containers(pod)]
    policy = specs.restart_policy(pod)
    if policy == "Always":
        return True
    if policy == "OnFailure":
        return not all(run and run.succeeded for run in apps)
    inits = [observed.newest(c["name"]) for c in specs.init_containers(pod) if not specs.is_sidecar(c)]
    return not any(apps) and all(run is None or run.succeeded for run in inits)


def _plan_init(draft: _Draft) -> tuple[bool, bool]:
    """(initialized, failed) after planning the init containers in their order."""
    # Once an app container was made in this sandbox, init containers are history; sidecars still are kept up.
    past = any(draft.current(c["name"]) for c in specs.containers(draft.pod))
    for container in specs.init_containers(draft.pod):
        run = draft.current(container["name"])
        if specs.is_sidecar(container):
            _keep_running(draft, container, run)
            if not past and container["name"] not in draft.facts.started:
                return False, False
        elif past or (run is not None and run.succeeded):
            continue
        elif run is not None and run.running:
            return False, False
        elif run is not None and run.ended and specs.restart_policy(draft.pod) == "Never":
            return False, True
        else:
            draft.start(container)
            return False, False
    return True, False


def _plan_app(draft: _Draft, container: Obj) -> bool:
    """Whether the container has ended for good, after planning it."""
    run = draft.current(container["name"])
    if run is not None and run.ended and not _restarts(draft.pod, run):
        return True
    if run is None:
        # In a sandbox that replaces another, what had succeeded is not done again.
        before = draft.observed.newest(container["name"])
        if before is not None and before.ended and not _restarts(draft.pod, before):
            return True
    _keep_running(draft, container, run)
    return False


def _restarts(pod: Obj, run: Container) -> bool:
    policy = specs.restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and not run.succeeded)


def _keep_running(draft: _Draft, container: Obj, run: Container | None) -> None:
    name = container["name"]
    if run is None or not run.running:
        draft.start(container)
    elif run.hash and run.hash != specs.container_hash(container):
        draft.kill(run, f"Container {name} definition changed, will be restarted", replaced=True)
    elif name in draft.facts.failing:
        failure = draft.facts.failing[name]
        draft.kill(run, f"Container {name} failed {failure.probe} probe, will be restarted", failure.grace)


def _garbage(observed: Observed) -> Iterable[Action]:
    """Runs before the last two of each container, and sandboxes that nothing refers to any more."""
    kept: dict[str, int] = {}
    used: set[str] = set()
    for container in observed.containers:
        kept[container.name] = kept.get(container.name, 0) + 1
        if kept[container.name] > 2 and container.ended:
            yield RemoveContainer(container.id)
        else:
            used.add(container.sandbox_id)
    for old in observed.sandboxes[1:]:
        if old.ready:
            yield StopSandbox(old.id)
        elif old.id not in used:
            yield RemoveSandbox(old.id)


def plan_termination(pod: Obj | None, observed: Observed, message: str = "Stopping container {}") -> Plan:
    """The next steps of a pod that must stop: containers, then sidecars from the last to the first, then
    the sandbox. ``pod`` is None when only the runtime still knows it.
    """
    sidecars = [c["name"] for c in specs.init_containers(pod or {}) if specs.is_sidecar(c)]
    first = [c for c in observed.running if c.name not in sidecars]
    if first:
        return Plan(tuple(KillContainer(c.id, c.name, message.format(c.name)) for c in first))
    for name in reversed(sidecars):
        runs = [c for c in observed.running if c.name == name]
        if runs:
            return Plan(tuple(KillContainer(c.id, c.name, message.format(c.name)) for c in runs))
    ready = [s for s in observed.sandboxes if s.ready]
    return Plan(tuple(StopSandbox(s.id) for s in ready), finished=not ready)


def plan_removal(observed: Observed) -> Plan:
    """Remove whatever the runtime still has of a pod that was terminated."""
    containers = tuple(RemoveContainer(c.id) for c in observed.containers)
    sandboxes = tuple(RemoveSandbox(s.id) for s in observed.sandboxes)
    return Plan(containers + sandboxes, finished=not (containers or sandboxes))
