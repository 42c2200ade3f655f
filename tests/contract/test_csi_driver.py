"""The driver as a caller of CSI sees it: over its socket, with real mounts."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from kdist.csi import DRIVER_NAME, TOPOLOGY_KEY, mounts
from kdist.csi.driver import Driver
from kdist.csi.proto import csi_pb2 as pb
from kdist.csi.proto import registration_pb2
from kdist.csi.registrar import Registrar, RegistrationRefused
from kdist.csi.server import serving
from kdist.csi.volumes import Volumes

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

Call = Callable[..., Awaitable[Any]]


def caller(channel: grpc.aio.Channel) -> Call:
    async def call(method: str, request: Any, answer: Any = pb.Empty) -> Any:
        stub = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return await stub(request, timeout=10)

    return call


@pytest.fixture
async def csi(tmp_path: Path) -> AsyncIterator[Call]:
    socket = tmp_path / "csi.sock"
    async with (
        serving(socket, Driver(Volumes(tmp_path / "data"), "n1").services()),
        grpc.aio.insecure_channel(f"unix:{socket}") as channel,
    ):
        yield caller(channel)


def writer(mode: int = 1) -> pb.VolumeCapability:
    access = pb.VolumeCapability.AccessMode(mode=mode)
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=access)


def creation(name: str = "pvc-1", node: str = "n1", required: int = 1 << 20) -> pb.CreateVolumeRequest:
    return pb.CreateVolumeRequest(
        name=name,
        capacity_range=pb.CapacityRange(required_bytes=required),
        volume_capabilities=[writer()],
        accessibility_requirements=pb.TopologyRequirement(
            requisite=[pb.Topology(segments={TOPOLOGY_KEY: node})]
        ),
    )


async def create(csi: Call, **wanted: Any) -> pb.Volume:
    answer = await csi("csi.v1.Controller/CreateVolume", creation(**wanted), pb.CreateVolumeResponse)
    volume: pb.Volume = answer.volume
    return volume


async def refusal(call: Awaitable[Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code()


async def test_the_driver_says_who_it_is_and_where(csi: Call) -> None:
    about = await csi("csi.v1.Identity/GetPluginInfo", pb.Empty(), pb.GetPluginInfoResponse)
    assert about.name == DRIVER_NAME
    assert (await csi("csi.v1.Identity/Probe", pb.Empty(), pb.ProbeResponse)).ready.value
    node = await csi("csi.v1.Node/NodeGetInfo", pb.Empty(), pb.NodeGetInfoResponse)
    assert (node.node_id, dict(node.accessible_topology.segments)) == ("n1", {TOPOLOGY_KEY: "n1"})


async def test_a_volume_keeps_its_data_from_pod_to_pod(csi: Call, tmp_path: Path) -> None:
    volume = await create(csi)
    assert dict(volume.accessible_topology[0].segments) == {TOPOLOGY_KEY: "n1"}
    for number in (1, 2):
        target = tmp_path / f"pod-{number}" / "mount"
        request = pb.NodePublishVolumeRequest(
            volume_id=volume.volume_id, target_path=str(target), volume_capability=writer()
        )
        for _ in range(2):  # a repeated call changes nothing
            await csi("csi.v1.Node/NodePublishVolume", request)
        assert mounts.points().count(target) == 1
        if number == 1:
            (target / "kept").write_text("data")
        assert (target / "kept").read_text() == "data"
        usage = await csi(
            "csi.v1.Node/NodeGetVolumeStats",
            pb.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target)),
            pb.NodeGetVolumeStatsResponse,
        )
        assert usage.usage[0].total > usage.usage[0].available > 0
        gone = pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(target))
        for _ in range(2):
            await csi("csi.v1.Node/NodeUnpublishVolume", gone)
        assert not target.exists()


async def test_a_read_only_publication_cannot_be_written(csi: Call, tmp_path: Path) -> None:
    volume = await create(csi)
    target = tmp_path / "mount"
    request = pb.NodePublishVolumeRequest(
        volume_id=volume.volume_id, target_path=str(target), volume_capability=writer(), readonly=True
    )
    await csi("csi.v1.Node/NodePublishVolume", request)
    with pytest.raises(OSError, match="Read-only"):
        (target / "file").write_text("x")
    await csi(
        "csi.v1.Node/NodeUnpublishVolume",
        pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(target)),
    )


async def test_a_mounted_volume_is_not_deleted_and_a_deleted_one_is_gone(csi: Call, tmp_path: Path) -> None:
    volume = await create(csi)
    target = str(tmp_path / "mount")
    publish = pb.NodePublishVolumeRequest(
        volume_id=volume.volume_id, target_path=target, volume_capability=writer()
    )
    await csi("csi.v1.Node/NodePublishVolume", publish)
    delete = pb.DeleteVolumeRequest(volume_id=volume.volume_id)
    assert await refusal(csi("csi.v1.Controller/DeleteVolume", delete)) is grpc.StatusCode.FAILED_PRECONDITION
    await csi(
        "csi.v1.Node/NodeUnpublishVolume",
        pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=target),
    )
    for _ in range(2):
        await csi("csi.v1.Controller/DeleteVolume", delete)
    assert await refusal(csi("csi.v1.Node/NodePublishVolume", publish)) is grpc.StatusCode.NOT_FOUND


async def test_creation_is_idempotent_by_name_and_refuses_what_cannot_be(csi: Call) -> None:
    assert (await create(csi)).volume_id == (await create(csi)).volume_id
    make = "csi.v1.Controller/CreateVolume"
    for request, code in (
        (creation(required=1 << 21), grpc.StatusCode.ALREADY_EXISTS),
        (creation(name="other", node="n2"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (creation(name="huge", required=1 << 60), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (creation(name="../x"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.CreateVolumeRequest(name="x"), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        assert await refusal(csi(make, request, pb.CreateVolumeResponse)) is code


async def test_capabilities_are_confirmed_or_explained(csi: Call) -> None:
    volume = await create(csi)
    for mode, confirmed in ((1, True), (5, False)):
        request = pb.ValidateVolumeCapabilitiesRequest(
            volume_id=volume.volume_id, volume_capabilities=[writer(mode)]
        )
        answer = await csi(
            "csi.v1.Controller/ValidateVolumeCapabilities", request, pb.ValidateVolumeCapabilitiesResponse
        )
        assert answer.HasField("confirmed") is confirmed
        assert bool(answer.message) is not confirmed


async def test_the_agent_learns_of_the_driver_and_may_refuse_it(tmp_path: Path) -> None:
    registrar = Registrar(DRIVER_NAME, "/somewhere/csi.sock")
    async with (
        registrar.offering(tmp_path),
        grpc.aio.insecure_channel(f"unix:{tmp_path}/{DRIVER_NAME}-reg.sock") as channel,
    ):
        call = caller(channel)
        service = "pluginregistration.Registration"
        info = await call(f"{service}/GetInfo", registration_pb2.InfoRequest(), registration_pb2.PluginInfo)
        assert (info.type, info.name, info.endpoint) == ("CSIPlugin", DRIVER_NAME, "/somewhere/csi.sock")
        done = registration_pb2.RegistrationStatus(plugin_registered=True)
        await call(f"{service}/NotifyRegistrationStatus", done, registration_pb2.RegistrationStatusResponse)
        assert registrar.registered
        refused = registration_pb2.RegistrationStatus(plugin_registered=False, error="no")
        await call(
            f"{service}/NotifyRegistrationStatus", refused, registration_pb2.RegistrationStatusResponse
        )
        with pytest.raises(RegistrationRefused, match="no"):
            await registrar.refusal()
