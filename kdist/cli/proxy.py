"""``kdist proxy``: the service proxy on this host."""

from __future__ import annotations

import click

from kdist.cli import running
from kdist.config.base import settings_options
from kdist.config.proxy import ProxySettings
from kdist.telemetry import log as logs


@click.command()
@settings_options(ProxySettings)
def proxy(settings: ProxySettings) -> None:
    """Run the service proxy on this host."""
    logs.setup(settings.log_level)
    running.until_stopped(_run(settings))


async def _run(settings: ProxySettings) -> None:
    from kdist.proxy.controller import Proxy, allow_loopback_node_ports
    from kdist.proxy.family import IPV4, IPV6
    from kdist.proxy.nft import LibNftables
    from kdist.proxy.rules import Rules
    from kdist.telemetry import health

    client = running.connected(settings.kubeconfig, "kdist-proxy")
    allow_loopback_node_ports()
    dual = any(IPV6.owns(cidr) for cidr in settings.cluster_cidr)
    rules = [
        Rules(LibNftables(), family, settings.node_name, settings.cluster_cidr)
        for family in ((IPV4, IPV6) if dual else (IPV4,))
    ]
    async with client:
        proxy = Proxy(client, rules, sync_period=settings.sync_period, check_period=settings.check_period)
        checks = {"rules": proxy.is_live}
        async with health.serve(
            settings.healthz_bind_address, live=checks, ready={"written": proxy.is_ready}
        ):
            await proxy.run()
