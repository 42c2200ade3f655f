"""``kdist net``: the pod network of this host."""

from __future__ import annotations

import click

from kdist.cli import running
from kdist.config.base import settings_options
from kdist.config.net import NetSettings
from kdist.telemetry import log as logs


@click.command()
@settings_options(NetSettings)
def net(settings: NetSettings) -> None:
    """Run the pod network on this host."""
    from kdist.net.plan import ENCAPSULATIONS

    if settings.encapsulation not in ENCAPSULATIONS:
        raise click.BadParameter(f"one of {', '.join(ENCAPSULATIONS)}", param_hint="--encapsulation")
    logs.setup(settings.log_level)
    running.until_stopped(_run(settings), stock_loop=True)


async def _run(settings: NetSettings) -> None:
    from pyroute2 import AsyncIPRoute

    from kdist.net.daemon import Daemon, Options
    from kdist.net.kernel import Kernel
    from kdist.telemetry import health

    client = running.connected(settings.kubeconfig, "kdist-net")
    options = Options(
        node=settings.node_name,
        cluster_cidr=settings.cluster_cidr,
        encapsulation=settings.encapsulation,
        mtu=settings.mtu,
        cni_directory=settings.cni_conf_dir,
    )
    async with client, AsyncIPRoute() as netlink:
        daemon = Daemon(client, Kernel(netlink), options)
        async with health.serve(settings.healthz_bind_address, ready={"network": daemon.is_ready}):
            await daemon.run()
