"""``kdist vip``: hold the virtual address of the API servers while this host's own one answers."""

from __future__ import annotations

import ipaddress

import click

from kdist.cli import running
from kdist.config.base import settings_options
from kdist.config.vip import VipSettings
from kdist.telemetry import log as logs


@click.command()
@settings_options(VipSettings)
def vip(settings: VipSettings) -> None:
    """Hold the virtual address of the API servers."""
    from kdist.vip.link import NoInterface

    logs.setup(settings.log_level)
    try:
        ipaddress.ip_address(settings.address)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--address") from error
    try:
        running.until_stopped(_run(settings), stock_loop=True)
    except NoInterface as error:
        raise click.ClickException(str(error)) from error


async def _run(settings: VipSettings) -> None:
    from pyroute2 import AsyncIPRoute

    from kdist.client.leaderelection import LeaderElector
    from kdist.telemetry import health
    from kdist.vip import holder
    from kdist.vip.link import Link

    namespace, _, name = settings.lease.partition("/")
    client = running.connected(settings.kubeconfig, "kdist-vip")
    async with client, AsyncIPRoute() as netlink, health.serve(settings.healthz_bind_address):
        elector = LeaderElector(
            client,
            name=name,
            namespace=namespace,
            identity=settings.node_name,
            lease_seconds=holder.LEASE_SECONDS,
            renew_seconds=holder.RENEW_SECONDS,
            retry_seconds=holder.RETRY_SECONDS,
        )
        await holder.Holder(elector, Link(netlink), ipaddress.ip_address(settings.address)).run()
