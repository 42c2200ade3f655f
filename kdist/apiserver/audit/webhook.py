"""The webhook backend: events go as EventList to a server that a kubeconfig names."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp

from kdist.apiserver.audit.batching import lost
from kdist.apiserver.audit.events import Event, event_list
from kdist.client import kubeconfig

ATTEMPTS = 5
FACTOR, JITTER = 1.5, 0.2  # of the back-off between attempts
TIMEOUT = 30.0  # seconds per attempt


class Webhook:
    """Posts events; what five attempts could not deliver is lost."""

    def __init__(self, config: Path, *, initial_backoff: float) -> None:
        self._access = kubeconfig.load(config)
        self._initial_backoff = initial_backoff
        self._session: aiohttp.ClientSession | None = None

    async def process(self, events: list[Event]) -> bool:
        """See :class:`kdist.apiserver.audit.batching.Backend`."""
        body, delay, why = event_list(events), self._initial_backoff, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(delay * (1 + random.random() * JITTER))
                delay *= FACTOR
            try:
                await self._post(body)
                return True
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = str(error) or type(error).__name__
        lost("webhook", len(events), f"{self._access.servers[0]}: {why}")
        return False

    async def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        token = self._access.token
        if self._access.token_file is not None:
            token = self._access.token_file.read_text().strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self._client().post(
            self._access.servers[0], data=body, headers=headers, ssl=self._access.tls or True
        ) as answer:
            answer.raise_for_status()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session

    async def run(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
