"""``kdist controller-manager``: leader election, health endpoints, then the controllers."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import sys

import click
import uvloop

from kdist.api.features import Features
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.leaderelection import LeaderElector, LeadershipLost
from kdist.client.rest import Client
from kdist.config.base import settings_options
from kdist.config.controller_manager import ControllerManagerSettings
from kdist.controllers.manager import UnknownController, run_controllers, select
from kdist.telemetry import gates, health
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

NAME = "kube-controller-manager"


@click.command("controller-manager")
@settings_options(ControllerManagerSettings)
def controller_manager(settings: ControllerManagerSettings) -> None:
    """Run the controllers."""
    telemetry_log.setup(settings.log_level)
    try:
        select(settings.controllers)
        gates.publish(Features.parse(settings.api_level, settings.feature_gates))
        client = Client.from_kubeconfig(settings.kubeconfig, user_agent="kdist-controller-manager")
    except (UnknownController, KubeconfigError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    try:
        uvloop.run(_until_stopped(client, settings))
    except LeadershipLost as error:
        # Another instance may act from now on; the supervisor starts this one again as a candidate.
        log.error(str(error))
        sys.exit(1)


async def _until_stopped(client: Client, settings: ControllerManagerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with client, health.serve(settings.healthz_bind_address):
        working = loop.create_task(_work(client, settings), name="work")
        stopping = loop.create_task(stop.wait(), name="stop")
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
        try:
            await working
        except asyncio.CancelledError:
            log.info("stopped")


async def _work(client: Client, settings: ControllerManagerSettings) -> None:
    async def lead() -> None:
        await run_controllers(client, settings)

    if not settings.leader_elect:
        return await lead()
    elector = LeaderElector(
        client,
        name=NAME,
        namespace="kube-system",
        identity=f"{socket.gethostname()}_{secrets.token_hex(8)}",
        lease_seconds=int(settings.leader_elect_lease_duration),
        renew_seconds=settings.leader_elect_renew_deadline,
        retry_seconds=settings.leader_elect_retry_period,
    )
    await elector.run(lead)
    return None
