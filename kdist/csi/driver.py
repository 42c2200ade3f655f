"""The three CSI services of the driver. File system work happens in threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from kdist import __version__
from kdist.csi import DRIVER_NAME, TOPOLOGY_KEY, mounts
from kdist.csi.errors import InvalidArgument, NotFound, OutOfRange, ResourceExhausted
from kdist.csi.proto import csi_pb2 as pb
from kdist.csi.server import Method, Services
from kdist.csi.volumes import Volumes

_MODE = pb.VolumeCapability.AccessMode
_READ_ONLY = (_MODE.SINGLE_NODE_READER_ONLY, _MODE.MULTI_NODE_READER_ONLY)
# A volume is on one node only, so what asks for several nodes is refused.
_MODES = (
    _MODE.SINGLE_NODE_WRITER,
    _MODE.SINGLE_NODE_READER_ONLY,
    _MODE.SINGLE_NODE_SINGLE_WRITER,
    _MODE.SINGLE_NODE_MULTI_WRITER,
)


def unsupported(capabilities: Iterable[pb.VolumeCapability]) -> str | None:
    """Why one of ``capabilities`` cannot be had; None when all of them can. Pure."""
    for capability in capabilities:
        if not capability.HasField("mount"):
            return "only volumes with a file system are supported"
        if capability.access_mode.mode not in _MODES:
            return f"access mode {_MODE.Mode.Name(capability.access_mode.mode)} is not supported by local volumes"
    return None


class Driver:
    """csi-local on one node, whose CSI name is ``node_id``."""

    def __init__(self, volumes: Volumes, node_id: str) -> None:
        self._volumes, self._node_id = volumes, node_id
        # One change at a time: calls for one volume may come twice at once.
        self._lock = asyncio.Lock()

    def services(self) -> Services:
        """What to serve."""
        return {
            "csi.v1.Identity": {
                "GetPluginInfo": Method(pb.Empty, self.plugin_info),
                "GetPluginCapabilities": Method(pb.Empty, self.plugin_capabilities),
                "Probe": Method(pb.Empty, self.probe),
            },
            "csi.v1.Controller": {
                "CreateVolume": Method(pb.CreateVolumeRequest, self.create_volume),
                "DeleteVolume": Method(pb.DeleteVolumeRequest, self.delete_volume),
                "ValidateVolumeCapabilities": Method(pb.ValidateVolumeCapabilitiesRequest, self.validate),
                "GetCapacity": Method(pb.GetCapacityRequest, self.capacity),
                "ControllerGetCapabilities": Method(pb.Empty, self.controller_capabilities),
            },
            "csi.v1.Node": {
                "NodePublishVolume": Method(pb.NodePublishVolumeRequest, self.publish),
                "NodeUnpublishVolume": Method(pb.NodeUnpublishVolumeRequest, self.unpublish),
                "NodeGetVolumeStats": Method(pb.NodeGetVolumeStatsRequest, self.stats),
                "NodeGetCapabilities": Method(pb.Empty, self.node_capabilities),
                "NodeGetInfo": Method(pb.Empty, self.node_info),
            },
        }

    # Identity

    async def plugin_info(self, _: pb.Empty) -> pb.GetPluginInfoResponse:
        """Name and version."""
        return pb.GetPluginInfoResponse(name=DRIVER_NAME, vendor_version=__version__)

    async def plugin_capabilities(self, _: pb.Empty) -> pb.GetPluginCapabilitiesResponse:
        """There is a controller service, and volumes are on one node only."""
        service = pb.PluginCapability.Service
        types = (service.CONTROLLER_SERVICE, service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        return pb.GetPluginCapabilitiesResponse(
            capabilities=[pb.PluginCapability(service=service(type=type_)) for type_ in types]
        )

    async def probe(self, _: pb.Empty) -> pb.ProbeResponse:
        """Ready when the data directory can be used, which is checked at start."""
        answer = pb.ProbeResponse()
        answer.ready.value = True
        return answer

    # Controller

    def _topology(self) -> pb.Topology:
        return pb.Topology(segments={TOPOLOGY_KEY: self._node_id})

    def _is_here(self, requirement: pb.TopologyRequirement) -> bool:
        wanted = [*requirement.requisite, *requirement.preferred]
        return not wanted or any(t.segments.get(TOPOLOGY_KEY) == self._node_id for t in wanted)

    async def create_volume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        """Make the volume, or find the one made by an earlier call of the same name."""
        if not request.name or not request.volume_capabilities:
            raise InvalidArgument("name and volume_capabilities are required")
        if reason := unsupported(request.volume_capabilities):
            raise InvalidArgument(reason)
        if request.HasField("volume_content_source"):
            raise InvalidArgument("volumes cannot be made from snapshots or other volumes")
        size = request.capacity_range
        if size.required_bytes < 0 or (size.limit_bytes and size.limit_bytes < size.required_bytes):
            raise OutOfRange(f"capacity from {size.required_bytes} to {size.limit_bytes} bytes")
        if not self._is_here(request.accessibility_requirements):
            raise ResourceExhausted(f"volumes of node {self._node_id} cannot be used where it was asked for")
        async with self._lock:
            record = await asyncio.to_thread(
                self._volumes.create, request.name, size.required_bytes, size.limit_bytes
            )
        volume = pb.Volume(
            volume_id=record.id, capacity_bytes=record.capacity, accessible_topology=[self._topology()]
        )
        return pb.CreateVolumeResponse(volume=volume)

    async def delete_volume(self, request: pb.DeleteVolumeRequest) -> pb.Empty:
        """Remove the volume with its data."""
        if not request.volume_id:
            raise InvalidArgument("volume_id is required")
        async with self._lock:
            await asyncio.to_thread(self._volumes.delete, request.volume_id)
        return pb.Empty()

    async def validate(
        self, request: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Whether a volume can be used so."""
        if not request.volume_id or not request.volume_capabilities:
            raise InvalidArgument("volume_id and volume_capabilities are required")
        await asyncio.to_thread(self._volumes.directory, request.volume_id)
        if reason := unsupported(request.volume_capabilities):
            return pb.ValidateVolumeCapabilitiesResponse(message=reason)
        return pb.ValidateVolumeCapabilitiesResponse(
            confirmed=pb.ValidateVolumeCapabilitiesResponse.Confirmed(
                volume_context=request.volume_context,
                volume_capabilities=request.volume_capabilities,
                parameters=request.parameters,
            )
        )

    async def capacity(self, request: pb.GetCapacityRequest) -> pb.GetCapacityResponse:
        """Bytes left on this node; none for another one or for what is not supported."""
        segments = request.accessible_topology.segments
        elsewhere = segments.get(TOPOLOGY_KEY, self._node_id) != self._node_id
        if elsewhere or unsupported(request.volume_capabilities):
            return pb.GetCapacityResponse(available_capacity=0)
        free = await asyncio.to_thread(self._volumes.available)
        return pb.GetCapacityResponse(available_capacity=free)

    async def controller_capabilities(self, _: pb.Empty) -> pb.ControllerGetCapabilitiesResponse:
        """Volumes are made and deleted; capacity is told."""
        rpc = pb.ControllerServiceCapability.RPC
        types = (rpc.CREATE_DELETE_VOLUME, rpc.GET_CAPACITY, rpc.SINGLE_NODE_MULTI_WRITER)
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[pb.ControllerServiceCapability(rpc=rpc(type=type_)) for type_ in types]
        )

    # Node

    async def publish(self, request: pb.NodePublishVolumeRequest) -> pb.Empty:
        """Make the volume appear at the target path."""
        if not request.volume_id or not request.target_path:
            raise InvalidArgument("volume_id and target_path are required")
        if not request.HasField("volume_capability"):
            raise InvalidArgument("volume_capability is required")
        if reason := unsupported([request.volume_capability]):
            raise InvalidArgument(reason)
        read_only = request.readonly or request.volume_capability.access_mode.mode in _READ_ONLY
        async with self._lock:
            await asyncio.to_thread(
                self._publish, request.volume_id, Path(request.target_path), read_only=read_only
            )
        return pb.Empty()

    def _publish(self, id: str, target: Path, *, read_only: bool) -> None:
        directory = self._volumes.directory(id)
        target.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not mounts.is_mounted(target):
            mounts.bind(directory, target, read_only=read_only)

    async def unpublish(self, request: pb.NodeUnpublishVolumeRequest) -> pb.Empty:
        """Take the volume away from the target path, and the path with it."""
        if not request.volume_id or not request.target_path:
            raise InvalidArgument("volume_id and target_path are required")
        async with self._lock:
            await asyncio.to_thread(self._unpublish, Path(request.target_path))
        return pb.Empty()

    def _unpublish(self, target: Path) -> None:
        while mounts.is_mounted(target):
            mounts.unmount(target)
        if target.is_dir():
            target.rmdir()

    async def stats(self, request: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        """Use of the file system that the volume is on."""
        if not request.volume_id or not request.volume_path:
            raise InvalidArgument("volume_id and volume_path are required")
        await asyncio.to_thread(self._volumes.directory, request.volume_id)
        try:
            figures = await asyncio.to_thread(os.statvfs, request.volume_path)
        except FileNotFoundError as error:
            raise NotFound(f"volume {request.volume_id} is not at {request.volume_path}") from error
        size = figures.f_frsize
        return pb.NodeGetVolumeStatsResponse(
            usage=[
                pb.VolumeUsage(
                    unit=pb.VolumeUsage.BYTES,
                    total=figures.f_blocks * size,
                    available=figures.f_bavail * size,
                    used=(figures.f_blocks - figures.f_bfree) * size,
                ),
                pb.VolumeUsage(
                    unit=pb.VolumeUsage.INODES,
                    total=figures.f_files,
                    available=figures.f_favail,
                    used=figures.f_files - figures.f_ffree,
                ),
            ]
        )

    async def node_capabilities(self, _: pb.Empty) -> pb.NodeGetCapabilitiesResponse:
        """No staging: a directory needs none."""
        rpc = pb.NodeServiceCapability.RPC
        types = (rpc.GET_VOLUME_STATS, rpc.SINGLE_NODE_MULTI_WRITER)
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[pb.NodeServiceCapability(rpc=rpc(type=type_)) for type_ in types]
        )

    async def node_info(self, _: pb.Empty) -> pb.NodeGetInfoResponse:
        """This node's name and topology."""
        return pb.NodeGetInfoResponse(node_id=self._node_id, accessible_topology=self._topology())
