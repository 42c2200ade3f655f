"""Puts the scheduler together: informers, cache, queue, plug-ins, loop."""

from __future__ import annotations

import asyncio
from functools import partial

from kdist.api.kinds import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Kind,
)
from kdist.api.meta import Obj
from kdist.client.events import EventRecorder
from kdist.client.informer import Informer, InformerFactory
from kdist.client.rest import Client
from kdist.config.scheduler import SchedulerSettings
from kdist.scheduler import metrics
from kdist.scheduler.apply import ApiWriter
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Framework
from kdist.scheduler.handlers import Handlers, slim_node, slim_pod
from kdist.scheduler.listers import Listers
from kdist.scheduler.loop import Scheduler
from kdist.scheduler.plugins import default_plugins
from kdist.scheduler.preemption import Preemptor
from kdist.scheduler.queue import Place, SchedulingQueue
from kdist.scheduler.volumes import ClaimBinder
from kdist.telemetry import log

_log = log.get(__name__)

# Of these only the selector matters.
_SELECTING = (SERVICES, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)
_STORAGE = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)
_WHOLE = (NAMESPACES, POD_DISRUPTION_BUDGETS, *_STORAGE)
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"


async def run_scheduler(client: Client, settings: SchedulerSettings) -> None:
    """Schedule until cancelled. Everything starts from what the API server says: nothing is kept."""
    factory = InformerFactory(client)
    listers = Listers({kind: _informer(factory, kind) for kind in (*_SELECTING, *_WHOLE)})
    cache, queue = Cache(), SchedulingQueue()
    binder = ClaimBinder(client, listers)
    framework = Framework(cache, default_plugins(cache, listers, binder))
    recorder = EventRecorder(client, settings.scheduler_name)
    writer = ApiWriter(client, recorder, settings.parallel_bindings)
    preemptor = Preemptor(cache, framework, listers)
    scheduler = Scheduler(cache, queue, framework, preemptor, writer)
    _connect(factory, Handlers(cache, queue, binder, settings.scheduler_name))
    _expose(cache, queue)
    async with asyncio.TaskGroup() as tasks:
        await factory.run_all(tasks)
        tasks.create_task(recorder.run(), name="events")
        # A first decision on half a cluster would be a wrong one.
        await factory.wait_synced()
        _log.info("scheduling", nodes=len(cache.nodes), placed=len(cache))
        await scheduler.run()


def _informer(factory: InformerFactory, kind: Kind) -> Informer:
    return factory.of(kind, transform=_slim if kind in _SELECTING else None)


def _slim(obj: Obj) -> Obj:
    """Identity and selector."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    kept = {k: metadata[k] for k in ("name", "namespace", "uid", "resourceVersion") if k in metadata}
    return {"metadata": kept, "spec": {"selector": spec.get("selector")}}


def _connect(factory: InformerFactory, handlers: Handlers) -> None:
    factory.of(NODES, transform=slim_node).add_handler(handlers.node)
    factory.of(PODS, field_selector=_UNFINISHED, transform=slim_pod).add_handler(handlers.pod)
    factory.of(NAMESPACES).add_handler(handlers.namespace)
    for kind in _STORAGE:
        factory.of(kind).add_handler(handlers.storage)


def _expose(cache: Cache, queue: SchedulingQueue) -> None:
    """Gauges are read when somebody asks, not kept up to date for nobody."""
    metrics.CACHE_SIZE.labels("nodes").set_function(lambda: len(cache.nodes))
    metrics.CACHE_SIZE.labels("pods").set_function(lambda: len(cache))
    metrics.CACHE_SIZE.labels("assumed_pods").set_function(lambda: cache.assumed)
    for place in queue.sizes():
        metrics.PENDING.labels(place.value.replace(" ", "_")).set_function(partial(_waiting, queue, place))


def _waiting(queue: SchedulingQueue, place: Place) -> float:
    return queue.sizes()[place]
