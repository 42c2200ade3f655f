"""The plain requests: pods, logs, statistics, metrics, health."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from kdist.agent.interfaces import ContainerNotFound, ContainerRef, Runtime
from kdist.agent.server import cadvisor, host, logs, summary
from kdist.agent.server.logformat import BadOption, flag, read_options
from kdist.api import meta
from kdist.api.meta import Obj

# Reasons of waiting containers that are told in other words.
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Handlers:
    """Requests that are answered from what the agent knows."""

    def __init__(
        self,
        runtime: Runtime,
        root: Path,
        configuration: Mapping[str, Any],
        healthy: Callable[[], str | None],
    ) -> None:
        self._runtime = runtime
        self._root = root
        self._configuration = configuration
        self._healthy = healthy
        self._rates = summary.Rates()

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether the agent does its work."""
        reason = self._healthy()
        return web.Response(text="ok" if reason is None else reason, status=200 if reason is None else 500)

    async def pods(self, _: web.Request) -> web.Response:
        """Every pod of this node."""
        return _pod_list(self._runtime.pods())

    async def running_pods(self, _: web.Request) -> web.Response:
        """The pods of this node that run something."""
        running = [p for p in self._runtime.pods() if meta.get(p, "status.phase") == "Running"]
        return _pod_list(running)

    async def configz(self, _: web.Request) -> web.Response:
        """The settings of the agent."""
        return web.json_response({"kubeletconfig": dict(self._configuration)})

    async def stats(self, _: web.Request) -> web.Response:
        """Use of the node and its pods."""
        pods = await self._runtime.usage()
        node = host.usage(self._root)
        return _json(summary.summary(self._runtime.node_name, node, pods, self._rates))

    async def metrics(self, _: web.Request) -> web.Response:
        """Metrics of the agent itself."""
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def resource_metrics(self, _: web.Request) -> web.Response:
        """Use of the node and its pods, for Prometheus and the metrics API."""
        text = summary.resource_metrics(host.usage(self._root), await self._runtime.usage())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def container_metrics(self, _: web.Request) -> web.Response:
        """Use of containers as cAdvisor names it, for Prometheus."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        machine = cadvisor.Machine(cpus=os.cpu_count() or 1, memory=memory)
        text = cadvisor.metrics(machine, await self._runtime.usage())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def container_logs(self, request: web.Request) -> web.StreamResponse:
        """A container's log, followed if the client wants that."""
        options = read_options(request.query, datetime.now(UTC))
        container = self._logged(request, previous=flag(request.query, "previous"))
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        response.enable_chunked_encoding()
        if not container.log_path.is_file():
            raise BadOption(f'no log of container "{container.container}" in pod "{container.pod}" is left')
        pieces = logs.read(container.log_path, options, lambda: self._runtime.is_running(container.id))
        first = await anext(pieces, b"") if not options.follow else b""
        await response.prepare(request)
        if first:
            await response.write(first)
        try:
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            await pieces.aclose()  # the client has seen enough
        return response

    def _logged(self, request: web.Request, *, previous: bool) -> ContainerRef:
        """The container whose log is wanted. ContainerNotFound; BadOption when it has not started yet."""
        where = request.match_info
        namespace, name, container = where["namespace"], where["pod"], where["container"]
        pod = next((p for p in self._runtime.pods() if meta.key(p) == f"{namespace}/{name}"), None)
        if pod is None:
            raise ContainerNotFound(f'pod "{namespace}/{name}" not found')
        try:
            return self._runtime.find_container(namespace, name, container, previous=previous)
        except ContainerNotFound:
            raise BadOption(not_started(pod, container, previous=previous)) from None


def not_started(pod: Obj, container: str, *, previous: bool) -> str:
    """Why a container has no log, in the words that clients of the API know."""
    spec = pod.get("spec") or {}
    fields = ("containers", "initContainers", "ephemeralContainers")
    known = {c["name"] for field in fields for c in spec.get(field) or ()}
    if container not in known:
        return f'container "{container}" in pod "{meta.name(pod)}" is not available'
    if previous:
        return f'previous terminated container "{container}" in pod "{meta.name(pod)}" not found'
    status = pod.get("status") or {}
    statuses = [s for field in fields for s in status.get(f"{field.removesuffix('s')}Statuses") or ()]
    waiting = next((meta.get(s, "state.waiting.reason") for s in statuses if s["name"] == container), None)
    told = _WAITING.get(waiting or "", waiting or "ContainerCreating")
    return f'container "{container}" in pod "{meta.name(pod)}" is waiting to start: {told}'


def _json(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _pod_list(pods: list[Obj]) -> web.Response:
    items = [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in pods]
    return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
