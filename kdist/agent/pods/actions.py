"""Doing what a plan says: sandboxes and containers of one pod made, started, stopped and removed.

Failures are raised as :class:`ActionError` with the reason that the container's or pod's status shows; events
are recorded here, where it is known what was tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Awaitable, Mapping
from pathlib import Path

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import errors
from kdist.agent.images import ImageError
from kdist.agent.interfaces import HostMount
from kdist.agent.pods import config, env, mounts, names, paths, plan
from kdist.agent.pods import spec as specs
from kdist.agent.pods.host import Host
from kdist.agent.pods.interrupts import Pausable
from kdist.agent.pods.observed import Observed
from kdist.agent.probes.handlers import Target
from kdist.api import meta
from kdist.api.errors import ApiError
from kdist.api.meta import Obj
from kdist.client.rest import Unreachable
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
HOOK_TIMEOUT = 30 * 60.0
# After a preStop hook has used up the grace period, the process still gets this long.
MINIMUM_GRACE = 2


class ActionError(Exception):
    """An action failed; ``container`` is empty when it is about the sandbox."""

    def __init__(self, container: str, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.container, self.reason, self.message = container, reason, message
        self.retry_after = retry_after


class Executor:
    """Does actions of one pod. ``pausable`` runs what may take long so that a deletion interrupts it."""

    def __init__(self, host: Host, pod: Obj, pausable: Pausable) -> None:
        self._host, self.pod = host, pod
        self._pausable = pausable
        self._hooked: set[str] = set()
        self.volumes: Mapping[str, HostMount] = {}

    @property
    def _uid(self) -> str:
        return meta.uid(self.pod)

    def _record(self, container: str, type: str, reason: str, message: str) -> None:
        self._host.record(self.pod, container, type, reason, message)

    # Sandboxes.

    async def create_sandbox(self, action: plan.CreateSandbox, cgroup_parent: str) -> None:
        """Make the pod's sandbox. Raises ActionError."""
        if action.attempt > 0:
            self._record(
                "", "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
            )
        wanted = self._sandbox_config(action.attempt, cgroup_parent)
        Path(wanted.log_directory).mkdir(parents=True, exist_ok=True)
        runtime_class = specs.spec(self.pod).get("runtimeClassName")
        try:
            handler = await self._host.cluster.runtime_handler(runtime_class) if runtime_class else ""
            # A network plug-in that hangs must not keep host-network pods from starting.
            turn = contextlib.nullcontext() if specs.host_network(self.pod) else self._host.making
            async with turn:
                await self._host.cri.run_sandbox(wanted, handler)
        except (errors.CriError, env.ConfigError, ApiError, Unreachable) as error:
            message = f"Failed to create pod sandbox: {error}"
            self._record("", "Warning", "FailedCreatePodSandBox", message)
            raise ActionError("", "FailedCreatePodSandBox", message) from error

    def _sandbox_config(self, attempt: int, cgroup_parent: str) -> pb.PodSandboxConfig:
        node = self._host.node
        return config.sandbox(self.pod, attempt, cgroup_parent, node.names, node.logs)

    async def stop_sandbox(self, action: plan.StopSandbox) -> None:
        """Stop a sandbox. Raises ActionError."""
        try:
            async with self._host.stopping:
                await self._host.cri.stop_sandbox(action.id)
        except errors.CriNotFound:
            return
        except errors.CriError as error:
            self._record("", "Warning", "FailedKillPod", f"error killing pod: {error}")
            raise ActionError("", "FailedKillPod", str(error)) from error

    async def remove_sandbox(self, action: plan.RemoveSandbox) -> None:
        """Remove a stopped sandbox. Raises ActionError."""
        await self._removal(self._host.cri.remove_sandbox(action.id))

    async def remove_container(self, action: plan.RemoveContainer, observed: Observed) -> None:
        """Remove a container that ended, its log and the link to it. Raises ActionError."""
        await self._removal(self._host.cri.remove_container(action.id))
        run = next((c for c in observed.containers if c.id == action.id), None)
        if run is not None:
            paths.log_link(self.pod, run.name, run.id, self._host.node.links).unlink(missing_ok=True)
            for file in run.log_path.parent.glob(f"{run.log_path.name}*"):
                file.unlink(missing_ok=True)

    async def _removal(self, call: Awaitable[None]) -> None:
        try:
            await call
        except errors.CriNotFound:
            return
        except errors.CriError as error:
            raise ActionError("", "FailedRemoval", str(error)) from error

    # Containers.

    async def start_container(
        self, action: plan.StartContainer, observed: Observed, cgroup_parent: str
    ) -> None:
        """Create and start a container, then run its postStart hook. Raises ActionError."""
        container = specs.find_container(self.pod, action.name)
        sandbox = observed.sandbox
        if container is None or sandbox is None:
            raise ActionError(action.name, "RunContainerError", "the pod changed meanwhile")
        image = await self._image(container)
        sandbox_config = self._sandbox_config(sandbox.attempt, cgroup_parent)
        wanted = await self._container_config(container, image, action.attempt, observed)
        container_id = await self._create(container, sandbox.id, wanted, sandbox_config)
        try:
            await self._host.cri.start_container(container_id)
        except errors.CriError as error:
            self._record(action.name, "Warning", "Failed", f"Error: {error}")
            raise ActionError(action.name, "RunContainerError", str(error)) from error
        self._record(action.name, "Normal", "Started", f"Started container {action.name}")
        await self._post_start(container, container_id, sandbox.ips)

    async def _image(self, container: Obj) -> pb.Image:
        name = container["name"]

        def record(type: str, reason: str, message: str) -> None:
            self._record(name, type, reason, message)

        try:
            return await self._pausable(self._host.images.ensure(self.pod, container, record))
        except ImageError as error:
            raise ActionError(name, error.reason, str(error), error.retry_after) from error
        except (errors.CriError, ApiError, Unreachable) as error:
            raise ActionError(name, "ImageInspectError", str(error)) from error

    async def _container_config(
        self, container: Obj, image: pb.Image, attempt: int, observed: Observed
    ) -> pb.ContainerConfig:
        try:
            return await self._unchecked_config(container, image, attempt, observed)
        except (env.ConfigError, ApiError, Unreachable, OSError) as error:
            self._record(container["name"], "Warning", "Failed", f"Error: {error}")
            raise ActionError(container["name"], "CreateContainerConfigError", str(error)) from error

    async def _unchecked_config(
        self, container: Obj, image: pb.Image, attempt: int, observed: Observed
    ) -> pb.ContainerConfig:
        host, node = self._host, self._host.node
        ips = observed.sandbox.ips if observed.sandbox else ()
        if specs.host_network(self.pod):
            ips = node.host_ips
        known = await self._pausable(host.env_facts(self.pod, ips))
        variables = await env.environment(self.pod, container, known, host.cluster)
        subpaths = host.paths(self._uid).directory / "volume-subpaths"
        found = mounts.volume_mounts(container, self.volumes, variables, subpaths)
        found += mounts.hosts_mount(self.pod, container, self._write_hosts(ips))
        found.append(mounts.message_mount(container, self._message_file(container)))
        target = observed.newest(container.get("targetContainerName") or "")
        facts = config.ContainerFacts(
            attempt=attempt, image=image, env=variables, mounts=found,
            devices=mounts.devices(container, self.volumes), memory_capacity=node.memory_capacity,
            seccomp_root=node.seccomp_root, unified_cgroup=node.unified_cgroup,
            target_id=target.id if target else "",
        )  # fmt: skip
        return config.container(self.pod, container, facts)

    def _write_hosts(self, ips: tuple[str, ...]) -> Path:
        file = self._host.paths(self._uid).hosts
        host_file = Path("/etc/hosts").read_text() if specs.host_network(self.pod) else ""
        text = names.hosts_file(self.pod, ips, self._host.node.names.domain, host_file)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            file.write_text(text)
            file.chmod(0o644)
        return file

    def _message_file(self, container: Obj) -> Path:
        directory = self._host.paths(self._uid).messages(container["name"])
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = directory / secrets.token_hex(4)
        file.touch()
        file.chmod(0o666)  # The container's user, whoever it is, writes its last message here.
        return file

    async def _create(
        self, container: Obj, sandbox_id: str, wanted: pb.ContainerConfig, sandbox: pb.PodSandboxConfig
    ) -> str:
        name = container["name"]
        log_file = Path(sandbox.log_directory) / wanted.log_path
        log_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            container_id = await self._host.cri.create_container(sandbox_id, wanted, sandbox)
        except errors.CriError as error:
            self._record(name, "Warning", "Failed", f"Error: {error}")
            raise ActionError(name, "CreateContainerError", str(error)) from error
        self._record(name, "Normal", "Created", f"Created container: {name}")
        link = paths.log_link(self.pod, name, container_id, self._host.node.links)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(log_file)
        return container_id

    # Stopping, and hooks.

    async def kill_container(self, action: plan.KillContainer, grace: float, ips: tuple[str, ...]) -> None:
        """Run the preStop hook, then stop the container, both within ``grace`` seconds. Raises ActionError."""
        self._record(action.name, "Normal", "Killing", action.message)
        container = specs.find_container(self.pod, action.name)
        left = grace
        hook = ((container or {}).get("lifecycle") or {}).get("preStop")
        if container is not None and hook and grace > 0 and action.id not in self._hooked:
            started = self._host.clock()
            outcome = await self._host.handlers.run(hook, self._target(container, action.id, ips), grace)
            if not outcome.ok and outcome.status == 0:
                message = f"PreStopHook failed: {outcome.output}"
                self._record(action.name, "Warning", "FailedPreStopHook", message)
            left = max(MINIMUM_GRACE, grace - (self._host.clock() - started))
            self._hooked.add(action.id)
        try:
            await self._host.cri.stop_container(action.id, int(left))
        except errors.CriNotFound:
            return
        except errors.CriError as error:
            self._record("", "Warning", "FailedKillPod", f"error killing container {action.name}: {error}")
            raise ActionError(action.name, "KillContainerError", str(error)) from error

    async def _post_start(self, container: Obj, container_id: str, ips: tuple[str, ...]) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        target = self._target(container, container_id, ips)
        outcome = await self._pausable(self._host.handlers.run(hook, target, HOOK_TIMEOUT))
        if outcome.ok or outcome.status:
            return
        name = container["name"]
        self._record(name, "Warning", "FailedPostStartHook", f"PostStartHook failed: {outcome.output}")
        await self.kill_container(
            plan.KillContainer(container_id, name, "FailedPostStartHook"),
            specs.grace_seconds(self.pod), ips,
        )  # fmt: skip
        raise ActionError(name, "PostStartHookError", outcome.output)

    def _target(self, container: Obj, container_id: str, ips: tuple[str, ...]) -> Target:
        own = self._host.node.host_ips if specs.host_network(self.pod) else ips
        return Target(container_id, own[0] if own else "", container)

    # The end.

    async def clean_up(self) -> None:
        """Remove the pod's logs and directory; its volumes are unmounted already."""
        logs = paths.log_directory(self.pod, self._host.node.logs)
        directory = self._host.paths(self._uid).directory
        for tree in (logs, directory):
            await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
