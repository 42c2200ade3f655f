"""Calls to one CSI driver on this node, and to the registration socket beside it."""

from __future__ import annotations

from typing import Any, TypeVar

import grpc
import grpc.aio

from kdist.agent.csi import csi_node_pb2 as pb

M = TypeVar("M")

# Upstream grants a node operation two minutes; the pod's mount is retried after that.
TIMEOUT = 120.0
QUICK = 10.0
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]


class CsiError(Exception):
    """A driver refused or cannot be reached; the text is the driver's own with the code's name."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """A gRPC connection to a Unix socket."""

    def __init__(self, socket: str) -> None:
        """``socket`` is the path of the socket."""
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=_OPTIONS)

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close(None)

    async def _call(self, path: str, request: Any, answer: type[M], timeout: float = TIMEOUT) -> M:
        call = self._channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]  # a protobuf message
        )
        try:
            result: M = await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            method = path.rpartition("/")[2]
            raise CsiError(f"{method}: {error.code().name}: {error.details()}", error.code()) from error
        return result


class Registration(Connection):
    """The registration socket of a plug-in."""

    async def info(self) -> pb.PluginInfo:
        """What the plug-in is and where it listens."""
        return await self._call("/pluginregistration.Registration/GetInfo", pb.Empty(), pb.PluginInfo, QUICK)

    async def notify(self, error: str = "") -> None:
        """Tell the plug-in that it is registered, or why not."""
        status = pb.RegistrationStatus(plugin_registered=not error, error=error)
        await self._call("/pluginregistration.Registration/NotifyRegistrationStatus", status, pb.Empty, QUICK)


class Driver(Connection):
    """The node service of a driver."""

    def __init__(self, name: str, socket: str) -> None:
        super().__init__(socket)
        self.name = name
        self.socket = socket
        self._capabilities: frozenset[int] | None = None

    async def capabilities(self) -> frozenset[int]:
        """The node capabilities (``pb.NodeCapability.Type``), asked once per registration."""
        if self._capabilities is None:
            answer = await self._call(
                "/csi.v1.Node/NodeGetCapabilities", pb.Empty(), pb.NodeCapabilities, QUICK
            )
            self._capabilities = frozenset(c.rpc.type for c in answer.capabilities)
        return self._capabilities

    async def info(self) -> pb.NodeInfo:
        """The driver's name for this node, its volume limit and topology."""
        return await self._call("/csi.v1.Node/NodeGetInfo", pb.Empty(), pb.NodeInfo, QUICK)

    async def stage(self, request: pb.StageRequest) -> None:
        """Make a volume available on this node; idempotent."""
        await self._call("/csi.v1.Node/NodeStageVolume", request, pb.Empty)

    async def unstage(self, request: pb.UnstageRequest) -> None:
        """The opposite of stage; idempotent."""
        await self._call("/csi.v1.Node/NodeUnstageVolume", request, pb.Empty)

    async def publish(self, request: pb.PublishRequest) -> None:
        """Mount a volume at a pod's path; idempotent."""
        await self._call("/csi.v1.Node/NodePublishVolume", request, pb.Empty)

    async def unpublish(self, request: pb.UnpublishRequest) -> None:
        """The opposite of publish; idempotent."""
        await self._call("/csi.v1.Node/NodeUnpublishVolume", request, pb.Empty)

    async def expand(self, request: pb.ExpandRequest) -> int:
        """Grow the file system of a volume; its new size in bytes, 0 when the driver does not say."""
        return (await self._call("/csi.v1.Node/NodeExpandVolume", request, pb.ExpandResponse)).capacity_bytes

    async def stats(self, request: pb.StatsRequest) -> pb.StatsResponse:
        """Use of a published volume."""
        return await self._call("/csi.v1.Node/NodeGetVolumeStats", request, pb.StatsResponse, QUICK)
