"""``kdist dns``: cluster DNS, unbound and its feeder."""

from __future__ import annotations

import click

from kdist.cli import running
from kdist.config.base import settings_options
from kdist.config.dns import DnsSettings
from kdist.telemetry import log as logs

log = logs.get(__name__)


@click.command()
@settings_options(DnsSettings)
def dns(settings: DnsSettings) -> None:
    """Serve cluster DNS: run unbound and feed it the cluster's records."""
    logs.setup(settings.log_level)
    running.until_stopped(_run(settings))


async def _run(settings: DnsSettings) -> None:
    from kdist.dns.config import Serving
    from kdist.dns.feeder import Feeder
    from kdist.telemetry import health

    client = running.connected(settings.kubeconfig, "kdist-dns")
    settings.directory.mkdir(parents=True, exist_ok=True)
    serving = Serving(
        directory=settings.directory,
        port=settings.port,
        addresses=settings.listen_addresses,
        allow=settings.allow,
        forwarders=settings.forwarders or _host_resolvers(settings),
        cache_mib=settings.cache_mib,
    )
    async with client:
        feeder = Feeder(client, serving, settings.cluster_domain)
        async with health.serve(settings.healthz_bind_address, ready={"unbound": feeder.is_ready}):
            await feeder.run()


def _host_resolvers(settings: DnsSettings) -> tuple[str, ...]:
    from kdist.dns.config import forwarders

    try:
        usable, skipped = forwarders(settings.resolv_conf.read_text())
    except OSError as error:
        log.warning("no resolvers for outside names", file=settings.resolv_conf, error=error)
        return ()
    if skipped:
        log.warning("resolvers that cannot be reached from here were left out", addresses=",".join(skipped))
    return usable
