"""uvicorn as the HTTPS server: our protocol, no signal handlers of its own, an idle loop that sleeps.

:mod:`kdist.apiserver.lifecycle` owns it; the composition root owns the signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import uvicorn

from kdist.apiserver.protocol import Protocol

BACKLOG = 2048
PROBE_SECONDS, PROBES = 15, 9  # of TCP keep-alive: a dead client is known within two and a half minutes
KEEP_ALIVE_SECONDS = 90  # longer than clients keep idle connections, so that they close them, not we


def bind(address: str, port: int) -> socket.socket:
    """A listening socket; several processes may bind the same port. OSError when that fails."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        _keep_alive(listener)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _keep_alive(listener: socket.socket) -> None:
    """Notice clients that are gone without a word; accepted connections inherit what the listener has."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, PROBE_SECONDS),
        (socket.TCP_KEEPINTVL, PROBE_SECONDS),
        (socket.TCP_KEEPCNT, PROBES),
        (socket.TCP_USER_TIMEOUT, PROBE_SECONDS * PROBES * 1000),
    ):
        listener.setsockopt(socket.IPPROTO_TCP, option, value)


class Server(uvicorn.Server):
    """Serves until :meth:`stop`; then finishes what is under way, for at most ``grace`` seconds."""

    def __init__(
        self, app: Any, context: ssl.SSLContext, *, grace: float, on_stop: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(grace)),
            backlog=BACKLOG,
        )
        config.load()
        config.ssl = context
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._on_stop = on_stop

    def stop(self) -> None:
        """Begin to shut down."""
        self._stopped.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the composition root: the server may be one of several parts of a process."""
        yield

    async def main_loop(self) -> None:
        """Refresh the Date header once a second until stopped; then let watches and streams end."""
        while not self._stopped.is_set():
            date = formatdate(time.time(), usegmt=True).encode()
            self.server_state.default_headers = [(b"date", date)]
            try:
                async with asyncio.timeout(1.0):
                    await self._stopped.wait()
            except TimeoutError:
                continue
        self._on_stop()
