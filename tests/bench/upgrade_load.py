"""A client that writes and reads through an upgrade, and asks a web service: every answer is counted, none repeated.

Runs in the lab's network until its standard input ends, then prints what it saw as JSON: acknowledged writes, failures
with their times, latencies. A write whose answer did not come is neither acknowledged nor failed for good: only that
acknowledged ones are there afterwards is a promise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
from base64 import b64decode
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

NAMESPACE = "upgrade-load"
TIMEOUT = aiohttp.ClientTimeout(total=3)


@dataclass
class Seen:
    """What one kind of request met. Failures are (time, text)."""

    done: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass
class Load:
    """The whole run."""

    writes: Seen = field(default_factory=Seen)
    reads: Seen = field(default_factory=Seen)
    service: Seen = field(default_factory=Seen)
    acknowledged: list[str] = field(default_factory=list)


def access(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """Server and TLS of a kubeconfig as kubectl takes them: one server, no other when it is away."""
    document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as chain:
        for part in ("client-certificate-data", "client-key-data"):
            chain.write(b64decode(user[part]) + b"\n")
        chain.flush()
        context.load_cert_chain(chain.name)
    return cluster["server"], context


class Client:
    """Sends requests at a steady rate, whatever becomes of those before."""

    def __init__(self, api: aiohttp.ClientSession, web: aiohttp.ClientSession, server: str) -> None:
        self._api, self._web = api, web
        self._maps = f"{server}/api/v1/namespaces/{NAMESPACE}/configmaps"
        self._run = int(time.time())  # names of an earlier run may be there
        self.load = Load()

    async def write(self, number: int) -> None:
        name = f"load-{self._run}-{number}"
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"n": str(number)},
        }
        if await self._ask(self._api, self.load.writes, "POST", self._maps, 201, json=body):
            self.load.acknowledged.append(name)

    async def read(self, number: int) -> None:
        if self.load.acknowledged:
            name = self.load.acknowledged[-1]
            await self._ask(self._api, self.load.reads, "GET", f"{self._maps}/{name}", 200)

    async def visit(self, url: str) -> None:
        await self._ask(self._web, self.load.service, "GET", url, 200)

    async def _ask(
        self, session: aiohttp.ClientSession, seen: Seen, method: str, url: str, wanted: int, **more: Any
    ) -> bool:
        began = time.time()
        try:
            async with session.request(method, url, **more) as answer:
                text = await answer.text()
                if answer.status != wanted:
                    seen.failures.append((began, f"{answer.status}: {text[:200]}"))
                    return False
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            seen.failures.append((began, f"{type(error).__name__}: {error} ({url})"))
            return False
        seen.done += 1
        seen.seconds.append(round(time.time() - began, 4))
        return True


async def steadily(rate: float, send: Any, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
    """Begin a request every 1/rate seconds."""
    began, number = time.monotonic(), 0
    while not stop.is_set():
        group.create_task(send(number))
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))


async def run(kubeconfig: Path, rate: float, urls: list[str], service_rate: float) -> Load:
    """Load until standard input ends."""
    server, tls = access(kubeconfig)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    # No limit of connections, and none shared: requests that wait for one server must not hold up the others.
    api = aiohttp.TCPConnector(limit=0, ssl=tls)
    web = aiohttp.TCPConnector(limit=0, force_close=True)
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT, connector=api) as api_session,
        aiohttp.ClientSession(timeout=TIMEOUT, connector=web) as web_session,
    ):
        client = Client(api_session, web_session, server)
        async with asyncio.TaskGroup() as group:
            group.create_task(steadily(rate, client.write, group, stop))
            group.create_task(steadily(rate, client.read, group, stop))
            if urls:
                group.create_task(
                    steadily(service_rate, lambda n: client.visit(urls[n % len(urls)]), group, stop)
                )
    return client.load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--rate", type=float, default=20, help="writes a second, and as many reads")
    parser.add_argument(
        "--service-rate", type=float, default=50, help="requests a second to the URLs, in turn"
    )
    parser.add_argument("urls", nargs="*", help="of the web service")
    given = parser.parse_args()
    print(json.dumps(asdict(asyncio.run(run(given.kubeconfig, given.rate, given.urls, given.service_rate)))))


if __name__ == "__main__":
    main()
