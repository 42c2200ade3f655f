"""The node agent put together: runtime, sources, pods, node, and the tasks that keep them going.

Order matters at the start: the runtime is listed before the first pod is looked at, so that what an earlier
life of the agent started is taken over and not started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

from kdist.agent import cgroups
from kdist.agent.certificates.identity import Identity
from kdist.agent.cluster import Cluster, NoApi, NoCluster
from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.agent.csi.drivers import Drivers
from kdist.agent.csi.registration import Registrar
from kdist.agent.images import Images
from kdist.agent.logs import LogRotation
from kdist.agent.node import machine as machines
from kdist.agent.node import status as node_status
from kdist.agent.node.health import watch_health
from kdist.agent.pods import names, tiers
from kdist.agent.pods.cache import RuntimeCache
from kdist.agent.pods.host import Host, NodeFacts, RuntimeHealth
from kdist.agent.pods.manager import PodManager
from kdist.agent.probes.handlers import Handlers
from kdist.agent.probes.prober import Prober
from kdist.agent.runtime import NodeRuntime
from kdist.agent.server import node as node_server
from kdist.agent.sources.local import LocalPublisher, LogRecorder
from kdist.agent.sources.static import StaticPods
from kdist.agent.uplink import Uplink
from kdist.agent.volumes import authorities
from kdist.agent.volumes.manager import Volumes
from kdist.agent.volumes.objects import Objects
from kdist.api import pods as api_pods
from kdist.api import quantity
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.config.agent import AgentSettings
from kdist.telemetry import gates
from kdist.telemetry import health as health_server
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
RUNTIME_RETRY = 1.0


async def run(settings: AgentSettings) -> None:
    """Run the agent until cancelled. ValueError for settings that make no sense."""
    reason = cgroups.available(settings.cgroup_driver)
    if reason is not None:
        raise ValueError(reason)
    settings.root_dir.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        cri = CriClient(settings.container_runtime_endpoint)
        stack.push_async_callback(cri.close)
        client: Client | None = None
        if settings.kubeconfig is not None:
            client = _client(settings.kubeconfig, settings)
            await stack.enter_async_context(client)
        node = node_spec(settings, await _runtime_version(cri))
        gates.publish(node.features)
        agent = Agent(settings, cri, node, client)
        stack.push_async_callback(agent.handlers.close)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, agent.look_at_files)
        if settings.healthz_bind_address:
            checks = {"runtime": agent.runtime_check}
            await stack.enter_async_context(health_server.serve(settings.healthz_bind_address, live=checks))
        await agent.run()


def _client(kubeconfig: Path, settings: AgentSettings) -> Client:
    if settings.rotate_certificates:
        return Client(None, user_agent="kdist-agent")  # its access comes with the node's certificate
    return Client.from_kubeconfig(kubeconfig, user_agent="kdist-agent")


async def _runtime_version(cri: CriClient) -> str:
    while True:
        try:
            version = await cri.version()
            return f"{version.runtime_name}://{version.runtime_version}"
        except errors.CriError as error:
            log.warning("waiting for the container runtime", error=error)
            await asyncio.sleep(RUNTIME_RETRY)


def node_spec(settings: AgentSettings, runtime_version: str) -> node_status.NodeSpec:
    """How this host presents itself. Raises ValueError."""
    reserved = node_status.parse_pairs(settings.system_reserved)
    return node_status.NodeSpec(
        name=settings.node_name,
        machine=machines.read(settings.root_dir),
        addresses=settings.node_ip or (machines.default_address(),),
        port=settings.port,
        max_pods=settings.max_pods,
        runtime_version=runtime_version,
        labels=node_status.parse_pairs(settings.node_labels),
        taints=tuple(node_status.parse_taint(t) for t in settings.register_with_taints),
        reserved={resource: api_pods.amount(resource, text) for resource, text in reserved.items()},
        features=Features.parse(settings.api_level, settings.feature_gates),
    )


class Agent:
    """The parts of a running agent. ``client`` None: static pods only."""

    def __init__(
        self, settings: AgentSettings, cri: CriClient, node: node_status.NodeSpec, client: Client | None
    ) -> None:
        self._settings, self._cri, self._node, self._client = settings, cri, node, client
        self.health = RuntimeHealth()
        self.handlers = Handlers(cri, api_level=settings.api_level)
        self._drivers = Drivers()
        self._objects = Objects(client or NoApi())
        self._volumes = Volumes(
            client or NoApi(), root=settings.root_dir, node_name=node.name, drivers=self._drivers,
            objects=self._objects, allocatable=lambda: node_status.allocatable(node),
        )  # fmt: skip
        self._uplink = None
        self._identity: Identity | None = None
        if client is not None:
            self._identity = Identity(settings, client, node.name, node.addresses)
            self._uplink = Uplink(client, cri, node, self.health, self._objects, self._volumes.in_use)
        self._manager: PodManager | None = None
        self._host = self._make_host()

    def _make_host(self) -> Host:
        cri, uplink = self._cri, self._uplink
        cluster: Cluster = uplink.cluster if uplink else NoCluster()
        return Host(
            cri=cri,
            cache=RuntimeCache(cri, self._wake),
            images=Images(cri, cluster),
            volumes=self._volumes,
            cluster=cluster,
            cgroups=cgroups.make_driver(self._settings.cgroup_driver),
            handlers=self.handlers,
            prober=Prober(self.handlers, self._wake, self._record),
            events=uplink.recorder if uplink else LogRecorder(),
            publisher=uplink.statuses if uplink else LocalPublisher(),
            node=_facts(self._settings, self._node),
            health=self.health,
        )

    def _wake(self, uid: str) -> None:
        if self._manager is not None:
            self._manager.wake(uid)

    def _record(self, pod: Obj, container: str, type: str, reason: str, message: str) -> None:
        self._host.record(pod, container, type, reason, message)

    def _registered(self) -> Obj:
        return (self._uplink.keeper.node() if self._uplink else None) or {}

    async def _asked(self) -> Obj:
        return await self._uplink.keeper.ask() if self._uplink else {}

    def look_at_files(self) -> None:
        """Somebody may have exchanged the certificates on disk."""
        if self._identity is not None:
            self._identity.poke()

    def runtime_check(self) -> str | None:
        """Why the agent cannot run pods now, or None."""
        return None if self.health.runtime_ready else self.health.runtime_message

    # Tasks.

    async def run(self) -> None:
        """Run every part until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._manager = manager = PodManager(self._host, group, self._registered, self._asked)
            health = watch_health(self._cri, self.health, self._health_changed)
            group.create_task(health, name="runtime health")
            group.create_task(self._host.cache.watch(), name="runtime cache")
            await self._host.cache.listed.wait()
            static = self._start_static(group)
            if self._uplink is not None:
                self._uplink.start(group, manager.source_changed)
                self._start_registrar(group, self._uplink.client)
                group.create_task(self._serve(self._uplink.client), name="https server")
            if self._identity is not None:
                self._identity.start(group)
            self._start_upkeep(group, manager, static)
            log.info("agent is running", node=self._node.name, api=self._uplink is not None)

    async def _serve(self, client: Client) -> None:
        """Answer the API server on the node's port; who may ask is the API's to say."""
        assert self._identity is not None  # there is an API
        certificate, key = await self._identity.serving_certificate(self._settings)
        tls = node_server.tls_context(certificate, key, self._settings.client_ca_file)
        async with node_server.serving(self._settings, self.runtime, client, tls, healthy=self.runtime_check):
            await asyncio.Event().wait()

    def _start_registrar(self, group: asyncio.TaskGroup, client: Client) -> None:
        directory = self._settings.root_dir / "plugins_registry"
        registrar = Registrar(directory, self._drivers, client, self._node.name)
        group.create_task(registrar.run(), name="plug-in registration")

    def _start_static(self, group: asyncio.TaskGroup) -> StaticPods | None:
        if self._settings.pod_manifest_path is None:
            return None
        static = StaticPods(self._settings.pod_manifest_path, self._node.name, self._static_pod)
        group.create_task(static.run(), name="static pods")
        return static

    def _start_upkeep(self, group: asyncio.TaskGroup, manager: PodManager, static: StaticPods | None) -> None:
        def static_ready() -> bool:
            return static is None or static.scanned.is_set()

        def api_ready() -> bool:
            return self._uplink is not None and self._uplink.synced

        rotation = LogRotation(
            self._cri,
            self._host.cache.running,
            quantity.value(self._settings.container_log_max_size),
            self._settings.container_log_max_files,
        )
        group.create_task(manager.sweep(static_ready, api_ready), name="orphan sweep")
        group.create_task(rotation.run(), name="log rotation")
        if self._settings.client_ca_file is not None:

            def refresh() -> None:
                self._objects.forget()
                manager.refresh_all()

            group.create_task(authorities.follow(self._settings.client_ca_file, refresh), name="authorities")
        keep = tiers.keep(self._host.cgroups, self._node.machine.cpus, manager.active)
        group.create_task(keep, name="cgroup tiers")

    @property
    def runtime(self) -> NodeRuntime:
        """What the HTTP server asks; usable once :meth:`run` has begun."""
        if self._manager is None:
            raise RuntimeError("the agent does not run yet")
        return NodeRuntime(self._host, self._manager)

    # What sources and the runtime say.

    def _health_changed(self) -> None:
        if self._uplink is not None:
            self._uplink.keeper.poke()
        if self._manager is not None:
            self._manager.wake_all()

    def _static_pod(self, old: Obj | None, new: Obj | None) -> None:
        if self._manager is not None:
            self._manager.source_changed(old, new)
        if self._uplink is not None:
            self._uplink.mirrors.set_static(old, new)


def _facts(settings: AgentSettings, node: node_status.NodeSpec) -> NodeFacts:
    return NodeFacts(
        name=node.name,
        host_ips=node.addresses,
        memory_capacity=node.machine.memory,
        allocatable=node_status.allocatable(node),
        names=names.ClusterNames(
            settings.cluster_dns, settings.cluster_domain, names.read_resolver(Path(settings.resolv_conf))
        ),
        root=settings.root_dir,
        unified_cgroup=cgroups.unified(),
        pids_limit=settings.pod_max_pids,
    )
