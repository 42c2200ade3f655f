"""How many pods per second the scheduler places on simulated nodes, and what memory it takes.

Everything is real but the API server: pods go through queue, plug-ins, cache and a binding that answers at
once. ``python tests/bench/scheduler.py [--nodes 5000] [--pods 5000] [--load plain|spread|anti|mixed]``
"""

import argparse
import asyncio
import gc
import resource
import sys
import time
from pathlib import Path

import uvloop

from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Framework
from kdist.scheduler.handlers import Handlers
from kdist.scheduler.listers import Listers
from kdist.scheduler.loop import Scheduler
from kdist.scheduler.plugins import default_plugins
from kdist.scheduler.preemption import Preemptor
from kdist.scheduler.queue import SchedulingQueue


class NoStores(dict):
    """Informers that have nothing."""

    def __missing__(self, kind):
        return self

    def get(self, key):
        return None

    def list(self, namespace=None):
        return []


class Bindings:
    """An API server that binds at once and tells the scheduler's informer."""

    def __init__(self, wanted):
        self.handlers, self.wanted, self.bound, self.done = None, wanted, 0, asyncio.Event()

    async def bind(self, pod, node):
        bound = {**pod.obj, "spec": {**pod.spec, "nodeName": node}}
        self.handlers.pod(pod.obj, bound)
        self.bound += 1
        if self.bound == self.wanted:
            self.done.set()

    async def explain(self, pod, reason, message, nominated):
        sys.exit(f"{pod.key} fits nowhere: {message}")

    async def evict(self, victim, by, node):
        pass

    def event(self, obj, type, reason, message):
        pass


def node(number):
    name = f"node-{number}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }


def pod(number, load):
    if load == "mixed":
        load = ("plain", "spread", "anti", "plain")[number % 4]
    app = f"{load}-{number % 10}"
    spec = {
        "priority": 0,
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
    }
    selector = {"matchLabels": {"app": app}}
    if load == "spread":
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
            }
        ]
    if load == "anti":
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    metadata = {"name": f"pod-{number}", "namespace": "bench", "uid": f"uid-{number}", "labels": {"app": app}}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def rss():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def measure(nodes, pods, load):
    cache, queue, listers = Cache(), SchedulingQueue(), Listers(NoStores())
    framework = Framework(cache, default_plugins(cache, listers))
    writer = Bindings(pods)
    scheduler = Scheduler(cache, queue, framework, Preemptor(cache, framework, listers), writer)
    writer.handlers = Handlers(cache, queue, None, "default-scheduler")
    for number in range(nodes):
        writer.handlers.node(None, node(number))
    for number in range(pods):
        writer.handlers.pod(None, pod(number, load))
    gc.collect()
    started, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(scheduler.run())
    await writer.done.wait()
    took, used = time.perf_counter() - started, time.process_time() - cpu
    running.cancel()
    print(
        f"{load:7} nodes={nodes} pods={pods} pods/s={pods / took:.0f} "
        f"cpu-ms/pod={used * 1000 / pods:.2f} rss-MiB={rss():.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--load", choices=("plain", "spread", "anti", "mixed"), action="append")
    options = parser.parse_args()
    for load in options.load or ("plain", "spread", "anti", "mixed"):
        uvloop.run(measure(options.nodes, options.pods, load))


if __name__ == "__main__":
    main()
