"""``kdist csi-local``: the local storage driver, and its sidecar."""

from __future__ import annotations

import asyncio

import click

from kdist.cli import running
from kdist.config.base import settings_options
from kdist.config.csi_local import DriverSettings, SidecarSettings
from kdist.telemetry import log as logs


@click.group()
def csi_local() -> None:
    """Run the local storage driver and its sidecar."""


@csi_local.command()
@settings_options(DriverSettings)
def driver(settings: DriverSettings) -> None:
    """Serve CSI: volumes are directories on this node."""
    logs.setup(settings.log_level)
    running.until_stopped(_driver(settings))


@csi_local.command()
@settings_options(SidecarSettings)
def sidecar(settings: SidecarSettings) -> None:
    """Register the driver with the node agent, and provision volumes for claims of this node."""
    logs.setup(settings.log_level)
    running.until_stopped(_sidecar(settings))


async def _driver(settings: DriverSettings) -> None:
    from kdist.csi.driver import Driver
    from kdist.csi.server import serving
    from kdist.csi.volumes import Volumes

    volumes = await asyncio.to_thread(Volumes, settings.data_dir)
    async with serving(settings.endpoint, Driver(volumes, settings.node_id).services()):
        await asyncio.Event().wait()


async def _sidecar(settings: SidecarSettings) -> None:
    from kdist.csi.client import DriverClient
    from kdist.csi.provisioner import Provisioner
    from kdist.csi.registrar import Registrar
    from kdist.telemetry import health

    client = running.connected(settings.kubeconfig, "kdist-csi-local")
    connection = DriverClient(settings.endpoint)
    try:
        name = await connection.name()
        registrar = Registrar(name, str(settings.endpoint_on_host))

        def registered() -> str | None:
            return None if registrar.registered else "the node agent has not registered the driver yet"

        async with (
            client,
            health.serve(settings.healthz_bind_address, ready={"registered": registered}),
            registrar.offering(settings.registration_dir),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(registrar.refusal(), name="registration")
            tasks.create_task(Provisioner(client, connection, settings.node_name).run(), name="provisioner")
    finally:
        await connection.close()
