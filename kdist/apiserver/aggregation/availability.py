"""Which extension servers answer: the condition Available of every APIService.

A backend is checked when its APIService, its Service or its endpoints change, and now and then, because a network
can fail without any object changing. After a check that passed, what the server publishes is read anew. Every worker
process checks by itself; they come to the same condition, and what is already written is not written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from kdist.api import meta
from kdist.api.errors import ApiError, Conflict, NotFound, ServiceUnavailable
from kdist.api.kinds import ENDPOINTS, SERVICES
from kdist.api.meta import Obj
from kdist.apiserver.aggregation.backends import API_SERVICES, Backend, Backends, backend_of
from kdist.apiserver.aggregation.proxying import identity_headers
from kdist.apiserver.authn.user import MASTERS, User
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.apiserver.aggregation.remotediscovery import RemoteDiscovery
    from kdist.apiserver.ports import Reader, Writer
    from kdist.apiserver.streaming.forward import Forwarder

_log = log.get(__name__)
RESYNC_SECONDS = 30.0
CHECK_SECONDS = 5.0
WORKERS = 3
ATTEMPTS = 5  # at once, each to an endpoint of its own choice: one that answers is enough
AGGREGATOR = User("system:kube-aggregator", groups=(MASTERS,))
Verdict = tuple[str, str, str]  # status, reason and message of the condition
LOCAL: Verdict = ("True", "Local", "Local APIServices are always available")
PASSED: Verdict = ("True", "Passed", "all checks passed")


class Availability:
    """Checks the backends of one process. :meth:`follow` before the server starts, :meth:`run` while it serves."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        backends: Backends,
        forwarder: Forwarder,
        discovery: RemoteDiscovery,
        *,
        ready: Callable[[], bool],
    ) -> None:
        self._reader, self._writer, self._backends = reader, writer, backends
        self._forwarder, self._discovery, self._ready = forwarder, discovery, ready
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._failed: dict[str, int] = {}

    def follow(self) -> None:
        """Hear of everything that a check depends on."""
        self._reader.on_change(API_SERVICES, self._api_service_changed)
        for kind in (SERVICES, ENDPOINTS):
            self._reader.on_change(kind, self._service_changed)

    def _api_service_changed(self, _: str, name: str, api_service: Obj | None) -> None:
        if api_service is not None:
            self._enqueue(name)
        elif name in self._due:
            self._due.pop(name).cancel()
            self._failed.pop(name, None)
            self._discovery.forget(name)

    def _service_changed(self, namespace: str, name: str, _: Obj | None) -> None:
        for backend in self._backends.known.values():
            if (backend.namespace, backend.service) == (namespace, name):
                self._enqueue(backend.name)

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait(name)

    async def run(self) -> None:
        """Check what is due, a few at a time: a server that does not answer takes its time."""
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"availability-{number}")

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            self._queued.discard(name)
            try:
                await self.sync(name)
            except (NotFound, Conflict):
                continue  # gone, or written by another: its change comes through the cache
            except ApiError as error:
                _log.warning("cannot tell whether an APIService is available", name=name, error=error.message)
            except Exception:  # noqa: BLE001 - one APIService that we misjudge must not end the server
                _log.error("APIService failed", name=name, exc_info=True)

    async def sync(self, name: str) -> None:
        """Check one APIService and write what came of it. ApiError when it cannot be written."""
        api_service = self._reader.get(API_SERVICES, None, name)
        if api_service is None:
            return
        backend = backend_of(api_service)
        if backend is None:
            await self._write(api_service, LOCAL)
            return
        verdict = self._by_objects(backend) or await self._by_asking(backend)
        self._later(name, failed=verdict[1] == "FailedDiscoveryCheck")
        if verdict[1] == "FailedDiscoveryCheck" and not self._ready():
            return  # this server's own network may not be up yet
        if verdict == PASSED:
            await self._discovery.refresh(backend)
        else:
            self._discovery.outdate(name)
        await self._write(api_service, verdict)

    def _later(self, name: str, *, failed: bool) -> None:
        """Look again: soon after a first failure, later after each further one."""
        if name in self._due:
            self._due[name].cancel()
        self._failed[name] = self._failed.get(name, 0) + 1 if failed else 0
        seconds = min(RESYNC_SECONDS, 2.0 ** (self._failed[name] - 1)) if failed else RESYNC_SECONDS
        self._due[name] = asyncio.get_running_loop().call_later(seconds, self._enqueue, name)

    async def _write(self, api_service: Obj, verdict: Verdict) -> None:
        changed = with_condition(api_service, verdict)
        if changed is not None:
            await self._writer.update(API_SERVICES, changed, subresource="status")

    # ----- checks

    def _by_objects(self, backend: Backend) -> Verdict | None:
        """What the Service and its endpoints already say against it."""
        where = f'service/{backend.service} in "{backend.namespace}"'
        service = self._reader.get(SERVICES, backend.namespace, backend.service)
        if service is None:
            return "False", "ServiceNotFound", f"{where} is not present"
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            return None
        ports = [p for p in service["spec"].get("ports") or () if p["port"] == backend.port]
        if not ports:
            return "False", "ServicePortError", f"{where} is not listening on port {backend.port}"
        endpoints = self._reader.get(ENDPOINTS, backend.namespace, backend.service)
        if endpoints is None:
            return "False", "EndpointsNotFound", f"cannot find endpoints for {where}"
        port_name = ports[0].get("name") or ""
        if not _has_addresses(endpoints, port_name):
            told = f'endpoints for {where} have no addresses with port name "{port_name}"'
            return "False", "MissingEndpoints", told
        return None

    async def _by_asking(self, backend: Backend) -> Verdict:
        """Whether it serves what its APIService says; whom it trusts is not judged here."""
        asking = [asyncio.create_task(self._ask(backend)) for _ in range(ATTEMPTS)]
        told = ""
        try:
            for answered in asyncio.as_completed(asking):
                told = await answered
                if not told:
                    return PASSED
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return "False", "FailedDiscoveryCheck", told

    async def _ask(self, backend: Backend) -> str:
        """What is wrong with the answer, empty when nothing is."""
        try:
            location = self._backends.locate(backend, verify=False)
            url = location.origin + backend.root
            async with asyncio.timeout(CHECK_SECONDS):
                answer = await self._forwarder.get(location, backend.root, dict(identity_headers(AGGREGATOR)))
        except ServiceUnavailable as error:
            return f"failing or missing response from {backend.root}: {error.message}"
        except TimeoutError:
            return f"failing or missing response from {url}: no answer within {CHECK_SECONDS:g} seconds"
        status = answer.status
        answer.close()
        if 200 <= status < 300:
            return ""
        return f"failing or missing response from {url}: bad status from {url}: {status}"


def _has_addresses(endpoints: Obj, port_name: str) -> bool:
    return any(
        subset.get("addresses") and any((p.get("name") or "") == port_name for p in subset.get("ports") or ())
        for subset in endpoints.get("subsets") or ()
    )


def with_condition(api_service: Obj, verdict: Verdict) -> Obj | None:
    """The APIService with this condition Available; None when it has it already."""
    status, reason, message = verdict
    conditions = list(meta.get(api_service, "status.conditions", []) or [])
    new: Obj = {"type": "Available", "status": status, "reason": reason, "message": message}
    at = next((i for i, c in enumerate(conditions) if c.get("type") == "Available"), len(conditions))
    old = conditions[at] if at < len(conditions) else {}
    if {k: v for k, v in old.items() if k != "lastTransitionTime"} == new:
        return None
    moved = old.get("lastTransitionTime") if old.get("status") == status else None
    conditions[at : at + 1] = [{**new, "lastTransitionTime": moved or meta.now()}]
    return {**api_service, "status": {**(api_service.get("status") or {}), "conditions": conditions}}
