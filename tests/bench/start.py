"""Print how long an API server takes from its start to ready, with pods in etcd, and upstream's beside it.

usage: scripts/bench start [--upstream BINARY] [--pods 6000] [--rounds 5]

Servers are started in turn; of the rounds the median counts.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import serving
import uvloop
from apiserver import NAMESPACE, PODS, pod
from load import request
from serving import Server

AT_ONCE = 16


async def fill(server: Server, pods: int) -> None:
    """A namespace, its service account and so many pods."""
    base = "/api/v1/namespaces"
    account = f"{base}/{NAMESPACE}/serviceaccounts"
    for path, body in ((base, b'{"metadata":{"name":"%s"}}'), (account, b'{"metadata":{"name":"default"}}')):
        status, answer = await server.client.once("POST", path, body.replace(b"%s", NAMESPACE.encode()))
        if status not in (201, 409):
            raise SystemExit(f"{server.name}: {path} answers {status}: {answer[:200]!r}")
    numbers = iter(range(pods))

    async def some() -> None:
        connection = await server.client.connect()
        for number in numbers:
            status, answer = await connection.ask(request("POST", PODS, pod(f"p{number}")))
            if status != 201:
                raise SystemExit(f"{server.name}: pod {number} answers {status}: {answer[:200]!r}")
        connection.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def measure(servers: list[Server], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """By server: seconds until ready and processor seconds by then, once a round."""
    found: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            began = time.perf_counter()
            await server.serve()
            found[server.name].append((time.perf_counter() - began, server.cpu()))
            server.rest()
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--pods", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    serving.check_tools()
    with tempfile.TemporaryDirectory() as where:
        at = Path(where)
        serving.write_certificates(at / "certificates")
        servers = [serving.ours(1, at / "kdist", at / "certificates")]
        if asked.upstream:
            servers.append(serving.upstream(asked.upstream, at / "upstream", at / "certificates"))
        try:
            for server in servers:
                await server.start()
                await fill(server, asked.pods)
                server.rest()
            found = await measure(servers, asked.rounds)
        finally:
            for server in servers:
                server.stop()
    print(f"| {asked.pods} pods in etcd | start to ready, s | processor s by then |\n|---|---|---|")
    for name, times in found.items():
        seconds, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    uvloop.run(main())
