"""``kdist apiserver``: the composition root of the API server."""

from __future__ import annotations

import asyncio
import signal

import click
import uvloop

from kdist.config.apiserver import ApiServerSettings
from kdist.config.base import settings_options
from kdist.telemetry import log


@click.command()
@settings_options(ApiServerSettings)
def apiserver(settings: ApiServerSettings) -> None:
    """Run the API server."""
    log.setup(settings.log_level)
    if settings.workers > 1:
        from kdist.apiserver import workers

        raise SystemExit(workers.supervise(settings))
    uvloop.run(_run(settings))


async def _run(settings: ApiServerSettings) -> None:
    from kdist.apiserver.lifecycle import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop=stop)
