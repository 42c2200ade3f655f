"""Figures of a running lab cluster: pod start, Deployment of 30, memory and CPU at rest.

    scripts/bench cluster            # against the lab of scripts/cluster, prints a Markdown table

Pods are measured by the API server's own watch: from the answer to the create to the event that says Ready.
Memory is the resident set of each process on the machine; CPU at rest is the lab's cgroup over a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kdist.api import kinds
from kdist.client.rest import Client

NAMESPACE = "bench"
IMAGE = "localhost/demo-web:0.1.0"
PARTS = {
    "apiserver": "kdist apiserver",
    "controller-manager": "kdist controller-manager",
    "scheduler": "kdist scheduler",
    "etcd": "etcd --name",
    "agent": "kdist agent",
    "proxy": "kdist proxy",
    "net": "kdist net",
    "dns": "kdist dns",
    "csi-local": "kdist csi-local",
    "containerd": "/usr/bin/containerd",
}


def pod_spec() -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": IMAGE}], "terminationGracePeriodSeconds": 1}


class Ready:
    """When each pod of the namespace became Ready, and which exist."""

    def __init__(self) -> None:
        self.ready: dict[str, float] = {}
        self.present: set[str] = set()
        self.changed = asyncio.Condition()

    async def follow(self, client: Client) -> None:
        listed = await client.list(kinds.PODS, NAMESPACE)
        async for event in client.watch(kinds.PODS, NAMESPACE, resource_version=listed.resource_version):
            if event.type not in ("ADDED", "MODIFIED", "DELETED"):
                continue
            name = event.object["metadata"]["name"]
            conditions = event.object.get("status", {}).get("conditions") or []
            async with self.changed:
                if event.type == "DELETED":
                    self.present.discard(name)
                    self.ready.pop(name, None)
                else:
                    self.present.add(name)
                    if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                        self.ready.setdefault(name, time.monotonic())
                self.changed.notify_all()

    async def until(self, condition: Callable[[], bool], timeout: float = 120) -> float:
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(condition)
        return time.monotonic()


@asynccontextmanager
async def bench_namespace(client: Client) -> AsyncIterator[Ready]:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": NAMESPACE}})
    ready = Ready()
    task = asyncio.create_task(ready.follow(client), name="watch")
    await asyncio.sleep(1)
    try:
        yield ready
    finally:
        task.cancel()
        await client.delete(kinds.NAMESPACES, NAMESPACE)


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(ordered):.2f} s, p99 {last:.2f} s"


async def pods_one_after_another(client: Client, ready: Ready, count: int) -> str:
    took = []
    for number in range(count):
        name = f"one-{number}"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}
        began = time.monotonic()
        await client.create(kinds.PODS, pod, NAMESPACE)
        await ready.until(lambda: name in ready.ready)  # noqa: B023 - awaited before the next turn
        took.append(ready.ready[name] - began)
        await client.delete(kinds.PODS, name, NAMESPACE)
        await ready.until(lambda: name not in ready.present)  # noqa: B023 - awaited before the next turn
    return spread(took)


async def deployment(client: Client, ready: Ready, replicas: int) -> tuple[str, str]:
    labels = {"app": "many"}
    body = {
        "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec()},
        },
    }
    began = time.monotonic()
    await client.create(kinds.DEPLOYMENTS, body, NAMESPACE)
    up = await ready.until(lambda: len([n for n in ready.ready if n.startswith("many-")]) == replicas)
    started, began = up - began, time.monotonic()
    await client.delete(kinds.DEPLOYMENTS, "many", NAMESPACE, propagation="Background")
    gone = await ready.until(lambda: not any(n.startswith("many-") for n in ready.present))
    return f"{started:.1f} s", f"{gone - began:.1f} s"


def resident(lab: str) -> dict[str, list[int]]:
    """Resident MiB by part, of the processes in the lab's cgroup."""
    found: dict[str, list[int]] = {}
    for tasks in Path(f"/sys/fs/cgroup/pids/kdist-{lab}").rglob("cgroup.procs"):
        for pid in tasks.read_text().split():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue  # the process has ended meanwhile
            for part, pattern in PARTS.items():
                if pattern in command and "containerd-shim" not in command and "/bin/sh" not in command:
                    found.setdefault(part, []).append(pages * 4 // 1024)
                    break
    return found


def cpu_seconds(lab: str) -> float:
    return int(Path(f"/sys/fs/cgroup/cpuacct/kdist-{lab}/cpuacct.usage").read_text()) / 1e9


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, default=Path("inventory/lab/admin.conf"))
    parser.add_argument("--lab", default="lab")
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--idle", type=float, default=60, help="seconds over which CPU at rest is measured")
    args = parser.parse_args()
    print("| What | Figure |\n|---|---|")
    async with (
        Client.from_kubeconfig(args.kubeconfig, user_agent="bench") as client,
        bench_namespace(client) as ready,
    ):
        one = await pods_one_after_another(client, ready, args.pods)
        print(f"| pod create to Ready, {args.pods} one after another | {one} |", flush=True)
        up, gone = await deployment(client, ready, 30)
        print(f"| Deployment of 30: all Ready | {up} |\n| Deployment of 30: deleted to all gone | {gone} |")
    await asyncio.sleep(20)
    before, began = cpu_seconds(args.lab), time.monotonic()
    await asyncio.sleep(args.idle)
    busy = (cpu_seconds(args.lab) - before) / (time.monotonic() - began)
    for part, sizes in resident(args.lab).items():
        print(f"| resident memory, {part} | {', '.join(map(str, sorted(sizes)))} MiB |")
    print(f"| CPU of all hosts at rest | {busy:.3f} core |")


asyncio.run(main())
