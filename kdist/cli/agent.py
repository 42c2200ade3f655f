"""``kdist agent``: the composition root of the node agent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal

import click

from kdist.config.agent import AgentSettings
from kdist.config.base import settings_options


@click.command()
@settings_options(AgentSettings)
def agent(settings: AgentSettings) -> None:
    """Run the node agent (kubelet)."""
    # Its children run other programs at once, and what gRPC does about forks is to complain at each of them.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

    import uvloop
    from prometheus_client import REGISTRY

    from kdist.agent.agent import run
    from kdist.agent.expiry import Expiry
    from kdist.client.kubeconfig import KubeconfigError
    from kdist.telemetry import log

    log.setup(settings.log_level)
    expiry = Expiry()
    REGISTRY.register(expiry)
    # What is imported by now stays for good: the collector need not look at it again.
    gc.collect()
    gc.freeze()

    async def main() -> None:
        task = asyncio.create_task(run(settings), name="agent")
        warnings = asyncio.create_task(expiry.warn(), name="certificate warnings")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        warnings.cancel()

    try:
        uvloop.run(main())
    except (ValueError, KubeconfigError) as error:
        raise click.UsageError(str(error)) from error
