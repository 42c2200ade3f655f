"""What the HTTP server asks of the pod side: pods, containers, streams and their use of the machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from kdist.agent import cgroups
from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import errors, labels
from kdist.agent.interfaces import ContainerNotFound, ContainerRef, ContainerUsage, ExecResult, PodUsage
from kdist.agent.pods import resources
from kdist.agent.pods import spec as specs
from kdist.agent.pods.host import Host
from kdist.agent.pods.manager import PodManager
from kdist.agent.pods.observed import Container, State
from kdist.api import meta
from kdist.api.meta import Obj


class NodeRuntime:
    """The :class:`kdist.agent.interfaces.Runtime` of this node."""

    def __init__(self, host: Host, manager: PodManager) -> None:
        self._host, self._manager = host, manager
        self.node_name = host.node.name

    def pods(self) -> list[Obj]:
        """Every pod bound to this node, static ones included, with its latest status."""
        return self._manager.pods()

    def find_container(
        self, namespace: str, pod: str, container: str, *, uid: str = "", previous: bool = False
    ) -> ContainerRef:
        """The newest begun container of that name (``previous``: the one before). Raises ContainerNotFound."""
        found = self._find_pod(namespace, pod, uid)
        runs = self._host.cache.get(meta.uid(found)).runs(container)
        run = _previous(runs) if previous else _begun(runs)
        if run is None:
            kind = "previous terminated container" if previous else "container"
            raise ContainerNotFound(f'{kind} "{container}" in pod "{pod}" not found')
        wanted = specs.find_container(found, container) or {}
        return ContainerRef(
            id=run.id,
            pod_uid=meta.uid(found),
            namespace=namespace,
            pod=pod,
            container=container,
            log_path=run.log_path,
            running=run.running,
            tty=bool(wanted.get("tty")),
            stdin=bool(wanted.get("stdin")),
        )

    def _find_pod(self, namespace: str, name: str, uid: str) -> Obj:
        pod = self._manager.find(namespace, name, uid)
        if pod is None:
            raise ContainerNotFound(f'pod "{namespace}/{name}" is not on this node')
        return pod

    def is_running(self, container_id: str) -> bool:
        """Whether that container still runs."""
        return self._host.cache.is_running(container_id)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The URL of the runtime's streaming server for this exec."""
        return await self._host.cri.exec(
            pb.ExecRequest(
                container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
            )
        )

    async def attach_url(
        self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The URL of the runtime's streaming server for this attach."""
        return await self._host.cri.attach(
            pb.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        )

    async def port_forward_url(self, namespace: str, pod: str, ports: Sequence[int], *, uid: str = "") -> str:
        """The URL of the runtime's streaming server to the pod's network. Raises ContainerNotFound."""
        found = self._find_pod(namespace, pod, uid)
        sandbox = self._host.cache.get(meta.uid(found)).sandbox
        if sandbox is None or not sandbox.ready:
            raise ContainerNotFound(f'pod "{namespace}/{pod}" has no running sandbox')
        return await self._host.cri.port_forward(sandbox.id, ports)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run a command to its end; TimeoutError when it takes longer than ``timeout`` seconds."""
        try:
            answer = await self._host.cri.exec_sync(container_id, command, timeout)
        except errors.CriTimeout as error:
            raise TimeoutError(str(error)) from error
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def usage(self) -> list[PodUsage]:
        """Use of every running pod."""
        by_pod: dict[str, list[pb.ContainerStats]] = defaultdict(list)
        for stats in await self._host.cri.container_stats():
            by_pod[stats.attributes.labels.get(labels.POD_UID, "")].append(stats)
        return [
            self._pod_usage(pod, by_pod[meta.uid(pod)])
            for pod in self._manager.active()
            if by_pod[meta.uid(pod)]
        ]

    def _pod_usage(self, pod: Obj, stats: list[pb.ContainerStats]) -> PodUsage:
        uid = meta.uid(pod)
        observed = self._host.cache.get(uid)
        started = {c.id: c.started_at for c in observed.running}
        cgroup = cgroups.pod_cgroup(resources.qos(pod), uid)
        return PodUsage(
            namespace=meta.namespace(pod),
            name=meta.name(pod),
            uid=uid,
            containers=[_usage(s, started[s.attributes.id]) for s in stats if s.attributes.id in started],
            cgroup_parent=self._host.cgroups.parent(cgroup),
        )


def _begun(runs: Sequence[Container]) -> Container | None:
    """The newest run that has written or writes a log: one that crashed, too, while the next does not run yet."""
    return next((run for run in runs if run.state is not State.CREATED), None)


def _previous(runs: Sequence[Container]) -> Container | None:
    return next((run for run in runs[1:] if run.ended), None)


def _usage(stats: pb.ContainerStats, started_at: int) -> ContainerUsage:
    def value(holder: object, name: str) -> int:
        filled = holder.HasField(name)  # type: ignore[attr-defined]  # a protobuf message
        return int(getattr(holder, name).value) if filled else -1

    memory, layer = stats.memory, stats.writable_layer
    return ContainerUsage(
        name=stats.attributes.metadata.name,
        time_ns=stats.cpu.timestamp,
        started_at_ns=started_at,
        cpu_ns=value(stats.cpu, "usage_core_nano_seconds"),
        memory_usage=value(memory, "usage_bytes"),
        memory_working_set=value(memory, "working_set_bytes"),
        memory_rss=value(memory, "rss_bytes"),
        page_faults=value(memory, "page_faults"),
        major_page_faults=value(memory, "major_page_faults"),
        fs_used_bytes=value(layer, "used_bytes"),
        fs_inodes_used=value(layer, "inodes_used"),
    )
