"""Telling the node agent about the driver: a socket in its registration directory that it calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kdist.csi.proto import registration_pb2 as pb
from kdist.csi.server import Method, serving
from kdist.telemetry import log as logs

log = logs.get(__name__)

_VERSIONS = ("1.0.0",)


class RegistrationRefused(Exception):
    """The agent does not take the driver; the message is the agent's."""


class Registrar:
    """Serves pluginregistration.Registration. ``endpoint`` is the driver's socket as the agent sees it."""

    def __init__(self, name: str, endpoint: str) -> None:
        self._name, self._endpoint = name, endpoint
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.registered = False

    async def _info(self, _: pb.InfoRequest) -> pb.PluginInfo:
        return pb.PluginInfo(
            type="CSIPlugin", name=self._name, endpoint=self._endpoint, supported_versions=_VERSIONS
        )

    async def _notify(self, status: pb.RegistrationStatus) -> pb.RegistrationStatusResponse:
        self.registered = status.plugin_registered
        if status.plugin_registered:
            log.info("registered with the agent", driver=self._name)
        elif not self._refused.done():
            self._refused.set_exception(RegistrationRefused(status.error))
        return pb.RegistrationStatusResponse()

    @contextlib.asynccontextmanager
    async def offering(self, directory: Path) -> AsyncIterator[None]:
        """Offer the driver while the block runs."""
        methods = {
            "GetInfo": Method(pb.InfoRequest, self._info),
            "NotifyRegistrationStatus": Method(pb.RegistrationStatus, self._notify),
        }
        socket = directory / f"{self._name}-reg.sock"
        async with serving(socket, {"pluginregistration.Registration": methods}):
            yield

    async def refusal(self) -> None:
        """Wait for RegistrationRefused: starting anew is the way to be asked again."""
        await self._refused
