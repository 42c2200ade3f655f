"""Print what requests cost the API server, and upstream's beside it: one Markdown table.

usage: scripts/bench apiserver [--upstream BINARY] [--workers N] [--seconds S] [--rounds N] [--only TEXT]

Each server has TLS, client certificates and an etcd with fsync of its own. Rows alternate between the servers
and are repeated; of the repetitions the one with the most requests counts. The last column is the CPU that
processes other than these took meanwhile, in cores: with more than a little of it, only CPU per request compares.
"""

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import serving
import uvloop
from load import Client, Measured, Watch, request
from serving import Server

NAMESPACE = "bench"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LISTED = 1000  # pods that lists read
_PAYLOAD = "x" * 1024


def config_map(name: str, stamp: int = 0) -> bytes:
    data = {"payload": _PAYLOAD, "stamp": str(stamp)}
    return json.dumps({"metadata": {"name": name, "labels": {"app": "bench"}}, "data": data}).encode()


def _container(name: str) -> dict[str, object]:
    probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 10}
    return {
        "name": name,
        "image": f"registry.example.com/team/{name}:v1.2.3",
        "ports": [{"name": f"http-{name}", "containerPort": 8080}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LOG_LEVEL", "value": "info"},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
    }


def pod(name: str) -> bytes:
    spec = {
        "containers": [_container("app"), _container("sidecar")],
        "volumes": [{"name": "config", "configMap": {"name": "app"}}, {"name": "tmp", "emptyDir": {}}],
        "tolerations": [{"key": "dedicated", "value": "web", "effect": "NoSchedule"}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
    }
    labels = {"app": "web", "tier": "frontend", "pod-template-hash": "7d9c6b8f5"}
    return json.dumps({"metadata": {"name": name, "labels": labels}, "spec": spec}).encode()


@dataclass
class Run:
    """One measurement of one row on one server."""

    measured: Measured
    cpu: float
    foreign: float  # cores


# (client, connections, seconds, called when the warm-up is over) -> what was measured
Work = Callable[[Client, int, float, Callable[[], None]], Awaitable[Measured]]


@dataclass
class Row:
    """A test: what to do, with how many connections. Watches count events instead of requests."""

    name: str
    connections: int
    work: Work
    events: bool = False


async def create(client: Client, path: str, body: Callable[[str], bytes], *load: object) -> Measured:
    connections, seconds, begun = load
    run = uuid.uuid4().hex[:8]
    return await client.load(
        lambda index, number: request("POST", path, body(f"c-{run}-{index}-{number}")),
        connections=connections,  # type: ignore[arg-type]
        seconds=seconds,  # type: ignore[arg-type]
        begun=begun,  # type: ignore[arg-type]
    )


async def replace(client: Client, connections: int, seconds: float, begun: Callable[[], None]) -> Measured:
    for index in range(connections):
        await client.once("POST", CONFIG_MAPS, config_map(f"put-{index}"))
    return await client.load(
        lambda index, number: request(
            "PUT", f"{CONFIG_MAPS}/put-{index}", config_map(f"put-{index}", number)
        ),
        connections=connections,
        seconds=seconds,
        begun=begun,
    )


def read(path: str) -> Work:
    async def work(client: Client, connections: int, seconds: float, begun: Callable[[], None]) -> Measured:
        asked = request("GET", path)
        return await client.load(
            lambda index, number: asked, connections=connections, seconds=seconds, begun=begun
        )

    return work


def watched(watchers: int, rate: float) -> Work:
    """Watchers of one namespace while others write into it."""

    async def work(client: Client, connections: int, seconds: float, begun: Callable[[], None]) -> Measured:
        namespace = f"watch-{uuid.uuid4().hex[:8]}"
        await client.once(
            "POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": namespace}}).encode()
        )
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        for index in range(connections):
            await client.once("POST", path, config_map(f"w-{index}"))
        seen = Measured()
        watches = [await client.connect(lambda: Watch(seen)) for _ in range(watchers)]
        for watch in watches:
            assert isinstance(watch, Watch)
            watch.open(f"{path}?watch=1&resourceVersion=0&timeoutSeconds=600")
        await asyncio.sleep(1.0)

        def counting() -> None:
            for watch in watches:
                assert isinstance(watch, Watch)
                watch.counting = True
            begun()

        written = await client.load(
            lambda index, number: request(
                "PUT", f"{path}/w-{index}", config_map(f"w-{index}", time.time_ns())
            ),
            connections=connections,
            seconds=seconds,
            rate=rate,
            begun=counting,
        )
        for watch in watches:
            watch.close()
        written.events, written.event_latencies = seen.events, seen.event_latencies
        return written

    return work


def rows() -> list[Row]:
    found = [Row("GET one pod", c, read(f"{PODS}/listed-7")) for c in (8, 32)]
    found += [Row(f"LIST {LISTED} pods", c, read(PODS)) for c in (1, 8)]
    found += [
        Row("CREATE configmap 1 KiB", c, lambda client, *load: create(client, CONFIG_MAPS, config_map, *load))
        for c in (8, 32)
    ]
    found += [Row("PUT configmap 1 KiB", c, replace) for c in (8, 32)]
    made = PODS.replace(NAMESPACE, f"{NAMESPACE}-made")
    found += [Row("CREATE pod", c, lambda client, *load: create(client, made, pod, *load)) for c in (8, 32)]
    found.append(Row("WATCH x 50, 8 writers flat out", 8, watched(50, 0), events=True))
    found.append(Row("WATCH x 50, 100 writes/s", 8, watched(50, 100), events=True))
    return found


async def prepare(server: Server, *, lists: bool) -> None:
    """Namespaces, the service accounts that pods need, and the pods that lists read."""
    client = server.client
    for namespace in (NAMESPACE, f"{NAMESPACE}-made"):
        body = {"metadata": {"name": namespace}}
        await client.once("POST", "/api/v1/namespaces", json.dumps(body).encode())
        account = json.dumps({"metadata": {"name": "default"}}).encode()
        status, told = await client.once("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        if status != 201:
            raise SystemExit(f"{server.name} is not usable: {told!r}")
    for number in range(LISTED if lists else 0):
        await client.once("POST", PODS, pod(f"listed-{number}"))


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


async def measure(row: Row, server: Server, seconds: float) -> Run:
    cpu = machine = own = 0.0

    def begun() -> None:
        nonlocal cpu, machine, own
        cpu, machine, own = server.cpu(), _machine_seconds(), time.process_time()

    measured = await row.work(server.client, row.connections, seconds, begun)
    used = server.cpu() - cpu
    foreign = _machine_seconds() - machine - used - (time.process_time() - own)
    return Run(measured, used, max(0.0, foreign / seconds))


def _cells(row: Row, run: Run) -> tuple[float, float, list[str]]:
    """(rate, CPU per 1000, the cells that show them)."""
    done = run.measured.events if row.events else len(run.measured.latencies)
    rate, cost = done / run.measured.seconds, run.cpu / max(1, done) * 1000
    middle, late = (run.measured.percentile(share, events=row.events) for share in (0.5, 0.99))
    times = f"{middle:.1f} / {late:.1f}"
    wrong = f" ({run.measured.errors} errors)" if run.measured.errors else ""
    return rate, cost, [f"{rate:,.0f}{wrong}", times, f"{cost:.3f}"]


def line(row: Row, runs: list[Run]) -> str:
    shown = [_cells(row, run) for run in runs]
    cells = [row.name, str(row.connections), *(cell for _, _, cells in shown for cell in cells)]
    if len(shown) == 2:
        (rate, cost, _), (their_rate, their_cost, _) = shown
        cells += [f"{rate / max(their_rate, 1e-9):.2f}", f"{cost / max(their_cost, 1e-9):.2f}"]
    cells.append(f"{max(run.foreign for run in runs):.1f}")
    return f"| {' | '.join(cells)} |"


async def main(options: argparse.Namespace, directory: Path) -> None:
    serving.check_tools()
    certificates = directory / "pki"
    serving.write_certificates(certificates)
    servers = [serving.ours(options.workers, directory / "kdist", certificates)]
    if options.upstream:
        servers.append(serving.upstream(options.upstream.resolve(), directory / "upstream", certificates))
    chosen = [row for row in rows() if options.only.lower() in row.name.lower()]
    try:
        for server in servers:
            await server.start()
            await prepare(server, lists=any(row.name.startswith(("GET", "LIST")) for row in chosen))
        head = ["test", "connections"]
        head += [f"{s.name} {what}" for s in servers for what in ("/s", "p50 / p99 ms", "CPU s per 1000")]
        head += ["rate, ours to theirs", "CPU, ours to theirs"] if len(servers) == 2 else []
        head.append("other CPU, cores")
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for row in chosen:
            best: dict[str, Run] = {}
            for _ in range(options.rounds):
                for server in servers:
                    run = await measure(row, server, options.seconds)
                    known = best.get(server.name)
                    if known is None or _cells(row, run)[0] > _cells(row, known)[0]:
                        best[server.name] = run
            print(line(row, [best[server.name] for server in servers]), flush=True)
        print()
        print(", ".join(f"{s.name}: {s.resident_mib():.0f} MiB resident" for s in servers))
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--upstream", type=Path, help="upstream's kube-apiserver binary")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    with tempfile.TemporaryDirectory(prefix="kdist-bench-") as temporary:
        uvloop.run(main(parser.parse_args(), Path(temporary)))
