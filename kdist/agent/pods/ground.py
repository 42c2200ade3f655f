"""What a pod stands on besides its containers: its directory, its cgroup, its volumes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kdist.agent import cgroups
from kdist.agent.interfaces import VolumeError
from kdist.agent.pods import resources
from kdist.agent.pods.actions import Executor
from kdist.agent.pods.host import Host
from kdist.api import meta
from kdist.api.meta import Obj

# Volumes that show API objects are brought up to date about once a minute.
REFRESH_SECONDS = 60.0


class Ground:
    """The ground of one pod. ``pausable`` awaits something long, but not beyond the moment the pod has to stop."""

    def __init__(
        self, host: Host, executor: Executor, pausable: Callable[[Awaitable[Any]], Awaitable[Any]]
    ) -> None:
        self._host, self._executor, self._pausable = host, executor, pausable
        self._prepared = False
        self._refresh_at = 0.0

    async def prepare(self, pod: Obj) -> None:
        """Cgroup, directories and volumes, before anything of the pod starts."""
        directory = self._host.paths(meta.uid(pod)).directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not self._prepared:
            limits = resources.pod_limits(pod, self._host.node.pids_limit)
            await self._host.cgroups.ensure(_cgroup(pod), limits)
            await self._mount(pod)
            self._prepared = True
            self._refresh_at = self._host.clock() + REFRESH_SECONDS

    async def _mount(self, pod: Obj) -> None:
        try:
            self._executor.volumes = await self._pausable(self._host.volumes.mount(pod))
        except VolumeError as error:
            self._host.record(pod, "", "Warning", "FailedMount", str(error))
            raise

    async def keep(self, pod: Obj) -> float:
        """Prepare what an earlier life of the agent left, refresh what is due; seconds until the next time."""
        now = self._host.clock()
        if not self._prepared:
            await self.prepare(pod)
        elif now >= self._refresh_at:
            self._refresh_at = now + REFRESH_SECONDS
            await self._host.volumes.refresh(pod)
        return self._refresh_at - now

    def refresh_soon(self) -> None:
        """The files of the volumes are to be brought up to date the next time."""
        self._refresh_at = 0.0

    def parent(self, pod: Obj) -> str:
        """The cgroup that the pod's containers run below."""
        return self._host.cgroups.parent(_cgroup(pod))

    async def clear(self, pod: Obj) -> None:
        """Take volumes and cgroup away."""
        uid = meta.uid(pod)
        await self._host.volumes.unmount(uid)
        known = (pod.get("status") or {}).get("qosClass")
        for qos in (known,) if known else cgroups.QOS_CLASSES:
            await self._host.cgroups.remove(cgroups.pod_cgroup(qos, uid))


def _cgroup(pod: Obj) -> cgroups.Name:
    return cgroups.pod_cgroup(resources.qos(pod), meta.uid(pod))
