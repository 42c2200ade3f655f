"""``kdist apiserver``: the composition root of the API server."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket

import click

from kdist.config.apiserver import ApiServerSettings
from kdist.config.base import settings_options
from kdist.telemetry import log

_GC_THRESHOLDS = (20_000, 20, 50)  # a request makes some hundred containers, and hardly a cycle among them


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

    ready, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settled = asyncio.create_task(_settle(ready), name="settle")
    try:
        await serve(settings, ready=ready, stop=stop, listener=listener)
    finally:
        settled.cancel()


async def _settle(ready: asyncio.Event) -> None:
    """What a started server has stays for good: the collector need not look at it again, nor often at the rest.

    A look at everything stops the server for 15 ms after the start, and longer with every object in the caches.
    """
    await ready.wait()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
