"""A client of the Container Runtime Interface v1 over the runtime's Unix socket (grpc.aio).

Every method is one call; refusals are :mod:`kdist.agent.cri.errors`. Messages are the generated ones of
``cri.proto`` and do not leave the pod side of the agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.cri import errors, events_pb2

M = TypeVar("M")

# Creating a sandbox runs CNI plug-ins; two minutes is what nodes usually grant the runtime.
TIMEOUT = 120.0
QUICK = 30.0
_OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    # Over a Unix socket a new attempt is cheap: find a restarted runtime within a second.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A kubelet's socket may be proxied by the environment; the runtime's never is.
    ("grpc.enable_http_proxy", 0),
]


class CriClient:
    """One connection to the runtime; it reconnects by itself."""

    def __init__(self, endpoint: str) -> None:
        """``endpoint`` is ``unix:///run/...`` or the bare path of the socket."""
        target = endpoint if "://" in endpoint else f"unix://{endpoint}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def close(self) -> None:
        """Drop the connection; calls under way fail."""
        await self._channel.close(None)

    async def _call(self, path: str, request: Any, answer: type[M], timeout: float | None) -> M:
        call = self._channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]  # a protobuf message
        )
        try:
            result: M = await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from error
        return result

    async def _runtime(self, method: str, request: Any, answer: type[M], timeout: float | None = QUICK) -> M:
        return await self._call(f"/runtime.v1.RuntimeService/{method}", request, answer, timeout)

    async def _image(self, method: str, request: Any, answer: type[M], timeout: float | None = QUICK) -> M:
        return await self._call(f"/runtime.v1.ImageService/{method}", request, answer, timeout)

    # The runtime itself.

    async def version(self) -> pb.VersionResponse:
        """Name and version of the runtime."""
        return await self._runtime("Version", pb.VersionRequest(version="v1"), pb.VersionResponse)

    async def status(self) -> Sequence[pb.RuntimeCondition]:
        """The conditions RuntimeReady and NetworkReady."""
        answer = await self._runtime("Status", pb.StatusRequest(), pb.StatusResponse)
        return list(answer.status.conditions)

    # Sandboxes.

    async def run_sandbox(self, config: pb.PodSandboxConfig, handler: str = "") -> str:
        """Create and start a sandbox; its id."""
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return (
            await self._runtime("RunPodSandbox", request, pb.RunPodSandboxResponse, TIMEOUT)
        ).pod_sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Stop it and give its network back; idempotent."""
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._runtime("StopPodSandbox", request, pb.StopPodSandboxResponse, TIMEOUT)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove it with all its containers; idempotent."""
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._runtime("RemovePodSandbox", request, pb.RemovePodSandboxResponse, TIMEOUT)

    async def sandbox_status(self, sandbox_id: str) -> pb.PodSandboxStatus:
        """State and addresses of one sandbox."""
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        return (await self._runtime("PodSandboxStatus", request, pb.PodSandboxStatusResponse)).status

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        """All sandboxes with these labels."""
        request = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=dict(labels or {})))
        return list((await self._runtime("ListPodSandbox", request, pb.ListPodSandboxResponse)).items)

    # Containers.

    async def create_container(
        self, sandbox_id: str, config: pb.ContainerConfig, sandbox: pb.PodSandboxConfig
    ) -> str:
        """Create a container in a sandbox; its id."""
        request = pb.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox)
        return (
            await self._runtime("CreateContainer", request, pb.CreateContainerResponse, TIMEOUT)
        ).container_id

    async def start_container(self, container_id: str) -> None:
        """Start a created container."""
        request = pb.StartContainerRequest(container_id=container_id)
        await self._runtime("StartContainer", request, pb.StartContainerResponse, TIMEOUT)

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        """SIGTERM, then SIGKILL after ``grace_seconds``; returns when it is stopped. Idempotent."""
        request = pb.StopContainerRequest(container_id=container_id, timeout=grace_seconds)
        await self._runtime("StopContainer", request, pb.StopContainerResponse, grace_seconds + TIMEOUT)

    async def remove_container(self, container_id: str) -> None:
        """Remove a container that does not run; idempotent."""
        request = pb.RemoveContainerRequest(container_id=container_id)
        await self._runtime("RemoveContainer", request, pb.RemoveContainerResponse, TIMEOUT)

    async def container_status(self, container_id: str) -> pb.ContainerStatus:
        """Everything about one container."""
        request = pb.ContainerStatusRequest(container_id=container_id)
        return (await self._runtime("ContainerStatus", request, pb.ContainerStatusResponse)).status

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.Container]:
        """All containers with these labels."""
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=dict(labels or {})))
        return list((await self._runtime("ListContainers", request, pb.ListContainersResponse)).containers)

    async def update_resources(self, container_id: str, resources: pb.LinuxContainerResources) -> None:
        """Change the cgroup limits of a running container."""
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._runtime("UpdateContainerResources", request, pb.UpdateContainerResourcesResponse)

    async def reopen_log(self, container_id: str) -> None:
        """Make the runtime write to a new file at the container's log path."""
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await self._runtime("ReopenContainerLog", request, pb.ReopenContainerLogResponse)

    # Commands and streams.

    async def exec_sync(
        self, container_id: str, command: Iterable[str], timeout: float
    ) -> pb.ExecSyncResponse:
        """Run a command to its end. CriTimeout when the runtime gave up after ``timeout`` seconds."""
        seconds = max(1, int(timeout))
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=seconds)
        # The runtime kills the command at its timeout; the extra time lets its answer arrive.
        return await self._runtime("ExecSync", request, pb.ExecSyncResponse, seconds + 10)

    async def exec(self, request: pb.ExecRequest) -> str:
        """The streaming URL of a command."""
        return (await self._runtime("Exec", request, pb.ExecResponse)).url

    async def attach(self, request: pb.AttachRequest) -> str:
        """The streaming URL to a container's main process."""
        return (await self._runtime("Attach", request, pb.AttachResponse)).url

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        """The streaming URL to a sandbox's network."""
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._runtime("PortForward", request, pb.PortForwardResponse)).url

    # Statistics.

    async def container_stats(self) -> Sequence[pb.ContainerStats]:
        """CPU, memory and writable layer of every running container."""
        answer = await self._runtime(
            "ListContainerStats", pb.ListContainerStatsRequest(), pb.ListContainerStatsResponse
        )
        return list(answer.stats)

    # Images.

    async def images(self) -> Sequence[pb.Image]:
        """Every image of the node."""
        return list((await self._image("ListImages", pb.ListImagesRequest(), pb.ListImagesResponse)).images)

    async def image(self, name: str) -> pb.Image | None:
        """The image of that name, or None when the node does not have it."""
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=name))
        answer = await self._image("ImageStatus", request, pb.ImageStatusResponse)
        return answer.image if answer.image.id else None

    async def pull(
        self, name: str, auth: pb.AuthConfig | None = None, sandbox: pb.PodSandboxConfig | None = None
    ) -> str:
        """Fetch an image, however long it takes; its reference."""
        request = pb.PullImageRequest(image=pb.ImageSpec(image=name), auth=auth, sandbox_config=sandbox)
        return (await self._image("PullImage", request, pb.PullImageResponse, None)).image_ref

    async def remove_image(self, name: str) -> None:
        """Remove an image; idempotent."""
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=name))
        await self._image("RemoveImage", request, pb.RemoveImageResponse, TIMEOUT)

    async def image_filesystems(self) -> Sequence[pb.FilesystemUsage]:
        """Where images are kept, and how much they use."""
        answer = await self._image("ImageFsInfo", pb.ImageFsInfoRequest(), pb.ImageFsInfoResponse)
        return list(answer.image_filesystems)

    # Events.

    async def _stream(self, path: str, request: Any, answer: type[M]) -> AsyncIterator[M]:
        call = self._channel.unary_stream(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]  # a protobuf message
        )
        try:
            async for message in call(request):
                yield message
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from error

    async def container_exits(self) -> AsyncIterator[str]:
        """Ids of containers and sandboxes that ended, as it happens; ends when the runtime does.

        The CRI's own stream where the runtime has it, else containerd's; the latter may tell of an end
        shortly before the runtime's own records do. CriUnimplemented: neither.
        """
        try:
            path = "/runtime.v1.RuntimeService/GetContainerEvents"
            async for event in self._stream(path, pb.GetEventsRequest(), pb.ContainerEventResponse):
                if event.container_event_type == pb.CONTAINER_STOPPED_EVENT:
                    yield event.container_id
        except errors.CriUnimplemented:
            async for container_id in self._containerd_exits():
                yield container_id

    async def _containerd_exits(self) -> AsyncIterator[str]:
        request = events_pb2.SubscribeRequest(filters=['namespace=="k8s.io",topic=="/tasks/exit"'])
        path = "/containerd.services.events.v1.Events/Subscribe"
        async for envelope in self._stream(path, request, events_pb2.Envelope):
            ended = events_pb2.TaskExit.FromString(envelope.event.value)
            if ended.id == ended.container_id:
                yield ended.container_id
