"""``kdist apiserver``: the composition root of the API server."""

from __future__ import annotations

import asyncio
import signal
import socket

import click

from kdist.config.apiserver import ApiServerSettings
from kdist.config.base import settings_options
from kdist.telemetry import log


@click.command()
@settings_options(ApiServerSettings)
def apiserver(settings: ApiServerSettings) -> None:
    """Run the API server."""
    log.setup(settings.log_level)
    try:
        if settings.workers == 1:
            _serve(settings)
            return
        from kdist.apiserver.workers import Supervisor

        raise SystemExit(Supervisor(settings, lambda listener: _serve(settings, listener)).run())
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _serve(settings: ApiServerSettings, listener: socket.socket | None = None) -> None:
    import uvloop

    uvloop.run(_run(settings, listener))


async def _run(settings: ApiServerSettings, listener: socket.socket | None) -> None:
    from kdist.apiserver.lifecycle import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop=stop, listener=listener)
