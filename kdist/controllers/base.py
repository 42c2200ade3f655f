"""What every controller is: a name, informers, a queue of keys and ``reconcile(key)``.

Handlers only enqueue; the shared worker loop (:mod:`kdist.client.workers`) owns retries. The first key is taken
once every informer the controller asked for is synced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kdist.api import meta
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.events import EventRecorder
from kdist.client.informer import Handler, Informer, InformerFactory, Transform
from kdist.client.rest import Client
from kdist.client.store import IndexFunc
from kdist.client.workers import run_workers
from kdist.client.workqueue import WorkQueue
from kdist.config.controller_manager import ControllerManagerSettings


@dataclass(frozen=True, slots=True)
class Context:
    """What controllers share: connections, informers and settings."""

    client: Client
    informers: InformerFactory
    settings: ControllerManagerSettings


class Controller:
    """Base of all controllers: subclasses set the names, call :meth:`watch` and define :meth:`reconcile`."""

    #: As in ``--controllers`` and in the user agent.
    name: ClassVar[str]
    #: The source of its events.
    component: ClassVar[str] = ""
    #: Whether ``--controllers=*`` runs it; others must be named.
    on_by_default: ClassVar[bool] = True
    #: How many keys are worked on at a time.
    workers: ClassVar[int] = 5

    def __init__(self, context: Context) -> None:
        self.settings = context.settings
        self.client = context.client.named(f"kdist-controller-manager/{self.name}")
        self.events = EventRecorder(self.client, self.component or self.name)
        self.queue = WorkQueue(self.name)
        self._factory = context.informers
        self._watched: list[Informer] = []
        self.setup()

    def setup(self) -> None:
        """Ask for informers by :meth:`watch`."""
        raise NotImplementedError

    async def reconcile(self, key: str) -> float | None:
        """Bring one object closer to what it should be; seconds to look again, or None."""
        raise NotImplementedError

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Work besides the queue; started when the caches are synced."""
        return ()

    def watch(
        self,
        kind: Kind,
        handler: Handler | None = None,
        *,
        indexers: Mapping[str, IndexFunc] | None = None,
        transform: Transform | None = None,
        metadata_only: bool = False,
        namespace: str | None = None,
        field_selector: str = "",
    ) -> Informer:
        """The shared informer of a kind; ``handler`` is told of its changes."""
        informer = self._factory.of(
            kind,
            namespace=namespace,
            indexers=indexers,
            transform=transform,
            metadata_only=metadata_only,
            field_selector=field_selector,
        )
        self._watched.append(informer)
        if handler is not None:
            informer.add_handler(handler)
        return informer

    def enqueue(self, old: Obj | None, new: Obj | None) -> None:
        """The handler for the controller's own kind."""
        self.queue.add(meta.key(new or old or {}))

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in self._watched:
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.events.run(), name=f"{self.name}-events")
            for number, loop in enumerate(self.loops()):
                group.create_task(loop, name=f"{self.name}-loop-{number}")
            group.create_task(
                run_workers(self.queue, self.reconcile, workers=self.workers, name=self.name), name=self.name
            )
