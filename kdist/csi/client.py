"""Calls of the sidecar to the driver beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from kdist.csi.proto import csi_pb2 as pb

M = TypeVar("M")

# Deleting many files takes its time.
_TIMEOUT = 120.0


class DriverError(Exception):
    """The driver refused or cannot be reached; ``code`` says which."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_final(self) -> bool:
        """Whether the same request would be refused again."""
        return self.code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.OUT_OF_RANGE,
            grpc.StatusCode.ALREADY_EXISTS,
        )

    @property
    def wants_another_node(self) -> bool:
        """Whether the volume may be possible elsewhere."""
        return self.code is grpc.StatusCode.RESOURCE_EXHAUSTED


class DriverClient:
    """A connection to the driver's socket; it reconnects by itself."""

    def __init__(self, socket: Path) -> None:
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=options)

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close(None)

    async def _call(self, path: str, request: Any, answer: type[M]) -> M:
        call = self._channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]  # a protobuf message
        )
        try:
            # The driver's container may start after this one.
            result: M = await call(request, timeout=_TIMEOUT, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise DriverError(f"{error.code().name}: {error.details()}", error.code()) from error
        return result

    async def name(self) -> str:
        """The driver's name."""
        answer = await self._call("/csi.v1.Identity/GetPluginInfo", pb.Empty(), pb.GetPluginInfoResponse)
        return answer.name

    async def topology(self) -> dict[str, str]:
        """The topology segments of this node."""
        answer = await self._call("/csi.v1.Node/NodeGetInfo", pb.Empty(), pb.NodeGetInfoResponse)
        return dict(answer.accessible_topology.segments)

    async def create(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        """Create a volume; idempotent by name."""
        answer = await self._call("/csi.v1.Controller/CreateVolume", request, pb.CreateVolumeResponse)
        return answer.volume

    async def delete(self, volume_id: str) -> None:
        """Delete a volume; idempotent."""
        request = pb.DeleteVolumeRequest(volume_id=volume_id)
        await self._call("/csi.v1.Controller/DeleteVolume", request, pb.Empty)
