"""The agent's side towards the API: pods and Services in; node, statuses, mirror pods and events out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kdist.agent.cluster import ApiCluster, slim_service
from kdist.agent.cri.client import CriClient
from kdist.agent.node.keeper import NodeKeeper
from kdist.agent.node.status import NodeSpec
from kdist.agent.pods import spec as specs
from kdist.agent.pods.env import Configs
from kdist.agent.pods.host import RuntimeHealth
from kdist.agent.sources.mirror import MirrorPods
from kdist.agent.sources.statuses import StatusWriter
from kdist.api import meta
from kdist.api.kinds import PODS, SERVICES
from kdist.api.meta import Obj
from kdist.client.events import EventRecorder
from kdist.client.informer import Informer
from kdist.client.rest import Client

# (old, new): see PodManager.source_changed
OnPod = Callable[[Obj | None, Obj | None], None]


class Uplink:
    """Everything that talks to the API for this node."""

    def __init__(
        self,
        client: Client,
        cri: CriClient,
        node: NodeSpec,
        health: RuntimeHealth,
        configs: Configs,
        volumes_in_use: Callable[[], list[str]],
    ) -> None:
        self.client = client
        self._services = Informer(client, SERVICES, transform=slim_service)
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={node.name}")
        self.keeper = NodeKeeper(client, cri, node, health, volumes_in_use)
        self.mirrors = MirrorPods(client, self._pods, self.keeper.node)
        self.statuses = StatusWriter(client, self.mirrors.find)
        self.recorder = EventRecorder(client, "kubelet", node.name)
        self.cluster = ApiCluster(client, configs, self._services)

    @property
    def synced(self) -> bool:
        """Whether every pod of this node is known."""
        return self._pods.synced

    def start(self, group: asyncio.TaskGroup, on_pod: OnPod) -> None:
        """Start every part in ``group``; ``on_pod`` is told of pods to run, not of mirror pods."""
        self._pods.add_handler(lambda old, new: self._changed(old, new, on_pod))
        for part, name in (
            (self._services, "informer services"),
            (self._pods, "informer pods"),
            (self.keeper, "node"),
            (self.mirrors, "mirror pods"),
            (self.statuses, "pod status"),
            (self.recorder, "events"),
        ):
            group.create_task(part.run(), name=name)

    def _changed(self, old: Obj | None, new: Obj | None, on_pod: OnPod) -> None:
        if new is not None:
            self.statuses.observe(new)
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            # Also when a watch missed the deletion and shows the pod that took its name.
            self._gone(old, on_pod)
            old = None
        if new is None:
            return
        if specs.is_mirror(new):
            self.mirrors.observe(new)
        else:
            on_pod(old, new)

    def _gone(self, pod: Obj, on_pod: OnPod) -> None:
        if specs.is_mirror(pod):
            self.mirrors.observe(pod)
        else:
            on_pod(pod, None)
            self.statuses.forget(meta.uid(pod))
