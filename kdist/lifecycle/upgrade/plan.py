"""What an upgrade does, in which order. Pure: what was observed in, steps out; the same steps are then done.

Order: a verified snapshot of etcd, the bundle to every host while nothing changes yet, control planes one at a time,
workers in waves of ``max_unavailable``, then the cluster's add-ons. So no agent is ever newer than an API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kdist.lifecycle.versions import Version, step_problem


class Action(StrEnum):
    """What a step does."""

    SNAPSHOT = "snapshot"
    STAGE = "stage"
    DRAIN = "drain"
    UPGRADE = "upgrade"
    VERIFY = "verify"
    RETURN = "return"
    ADDONS = "addons"
    CHECK = "check"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the cluster goes: a release and the API level it serves."""

    version: str
    api_level: str

    def __str__(self) -> str:
        return f"kdist {self.version}, API {self.api_level}"


@dataclass(frozen=True, slots=True)
class HostNow:
    """What a host runs: installed release, release and level that its agent and API server report."""

    name: str
    control_plane: bool
    release: str
    agent: Target | None
    server: Target | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``host`` is empty for those of the whole cluster."""

    action: Action
    text: str
    host: str = ""

    @property
    def name(self) -> str:
        """Unique in a plan."""
        return f"{self.host}/{self.action}" if self.host else str(self.action)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order. Hosts of one wave are done at the same time, waves one after the other."""

    steps: tuple[Step, ...]
    waves: tuple[tuple[str, ...], ...]


def budget(text: str, workers: int) -> int:
    """How many workers may be away at once: ``2`` or ``25%`` (rounded down), at least one. Raises ValueError."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    if not number.isdigit() or int(number) == 0 or (percent and int(number) > 100):
        raise ValueError(f"--max-unavailable {text}: a number of workers such as 2, or a share such as 25%")
    return max(1, workers * int(number) // 100) if percent else int(number)


def is_at(host: HostNow, target: Target) -> bool:
    """Whether a host needs nothing any more."""
    seen = [host.agent] + ([host.server] if host.control_plane else [])
    return host.release == target.version and all(found == target for found in seen)


def problems(hosts: Iterable[HostNow], target: Target) -> list[str]:
    """What forbids this upgrade, whatever the cluster's health."""
    found, hosts = [], list(hosts)
    for host in hosts:
        if told := step_problem("kdist", host.release, target.version):
            found.append(f"{host.name}: {told}")
        if host.server and (told := step_problem("API level", host.server.api_level, target.api_level)):
            found.append(f"{host.name}: {told}")
    servers = [host for host in hosts if host.server]
    if servers:
        oldest = min(servers, key=lambda host: Version.parse(_server(host).version))
        for host in hosts:
            if host.agent and Version.parse(host.agent.version) > Version.parse(_server(oldest).version):
                found.append(
                    f"{host.name}: its agent {host.agent.version} is newer than the API server of {oldest.name} "
                    f"({_server(oldest).version}); bring {oldest.name} to {host.agent.version} first"
                )
    return found


def _server(host: HostNow) -> Target:
    assert host.server is not None
    return host.server


def plan(hosts: Sequence[HostNow], target: Target, *, max_unavailable: int) -> Plan:
    """Steps from what hosts run to the target; hosts that are there already are left alone. ``hosts`` in order."""
    due = [host for host in hosts if not is_at(host, target)]
    if not due:
        return Plan((), ())
    waves: list[tuple[str, ...]] = [(host.name,) for host in due if host.control_plane]
    workers = [host.name for host in due if not host.control_plane]
    waves += [tuple(workers[i : i + max_unavailable]) for i in range(0, len(workers), max_unavailable)]
    by_name = {host.name: host for host in due}
    steps = [
        Step(Action.SNAPSHOT, "take a snapshot of etcd and verify it"),
        Step(
            Action.STAGE,
            f"send bundle {target.version} to {_counted(due)}, unpack it beside the current release",
        ),
    ]
    for wave in waves:
        for name in wave:
            steps += host_steps(by_name[name], target)
    steps += [
        Step(Action.ADDONS, f"add-ons to {target.version}"),
        Step(Action.CHECK, "all hosts and workloads as before, at the new version"),
    ]
    return Plan(tuple(steps), tuple(waves))


def host_steps(host: HostNow, target: Target) -> list[Step]:
    """The steps of one host."""
    name = host.name
    members = ", its etcd member, API server, controllers and scheduler answer" if host.control_plane else ""
    return [
        Step(Action.DRAIN, "cordon, evict its pods within their budgets", name),
        Step(
            Action.UPGRADE, f"{host.release or 'nothing'} to {target.version}, API {target.api_level}", name
        ),
        Step(Action.VERIFY, f"Ready at {target.version}{members}", name),
        Step(Action.RETURN, "uncordon; workloads are whole again", name),
    ]


def _counted(hosts: Sequence[HostNow]) -> str:
    return hosts[0].name if len(hosts) == 1 else f"{len(hosts)} hosts"


def rollback(hosts: Sequence[HostNow], target: Target, *, max_unavailable: int) -> Plan:
    """Steps back to a version that lies on the hosts still: add-ons, workers, control planes last."""
    due = [host for host in hosts if not is_at(host, target)]
    workers = [host for host in due if not host.control_plane]
    planes = [host for host in reversed(due) if host.control_plane]
    names = [host.name for host in workers]
    waves = [tuple(names[i : i + max_unavailable]) for i in range(0, len(names), max_unavailable)]
    waves += [(host.name,) for host in planes]
    steps = [Step(Action.ADDONS, f"add-ons back to {target.version}")]
    by_name = {host.name: host for host in due}
    for wave in waves:
        for name in wave:
            for step in host_steps(by_name[name], target):
                back = f"back to {target.version} from what lies on its disk"
                steps.append(Step(Action.RESTORE, back, name) if step.action is Action.UPGRADE else step)
    return Plan((*steps, Step(Action.CHECK, "all hosts and workloads as before")), tuple(waves))
