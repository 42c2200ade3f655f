"""``kdist scheduler``: leader election, health endpoints, then the scheduler."""

from __future__ import annotations

import secrets
import socket
import sys

import click

from kdist.api.features import Features
from kdist.cli import running
from kdist.client.kubeconfig import KubeconfigError
from kdist.client.leaderelection import LeaderElector, LeadershipLost
from kdist.client.rest import Client
from kdist.config.base import settings_options
from kdist.config.scheduler import SchedulerSettings
from kdist.telemetry import gates, health
from kdist.telemetry import log as logs

LEASE = "kube-scheduler"
_log = logs.get(__name__)


@click.command()
@settings_options(SchedulerSettings)
def scheduler(settings: SchedulerSettings) -> None:
    """Run the scheduler."""
    logs.setup(settings.log_level)
    try:
        gates.publish(Features.parse(settings.api_level, settings.feature_gates))
        client = Client.from_kubeconfig(settings.kubeconfig, user_agent="kdist-scheduler")
    except (KubeconfigError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    try:
        running.until_stopped(_run(client, settings))
    except LeadershipLost as error:
        # Another instance may act from now on; the supervisor starts this one again as a candidate.
        _log.error(str(error))
        sys.exit(1)


async def _run(client: Client, settings: SchedulerSettings) -> None:
    from kdist.scheduler.run import run_scheduler  # NumPy only once it is needed

    async def lead() -> None:
        await run_scheduler(client, settings)

    async with client, health.serve(settings.healthz_bind_address):
        if not settings.leader_elect:
            await lead()
            return
        elector = LeaderElector(
            client,
            name=LEASE,
            namespace="kube-system",
            identity=f"{socket.gethostname()}_{secrets.token_hex(8)}",
        )
        await elector.run(lead)
