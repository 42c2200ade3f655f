"""exec, attach, port-forward and run: finding the container, asking the runtime for a stream, joining both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kdist.agent.interfaces import ContainerRef, Runtime
from kdist.agent.server import tunnel, websocket
from kdist.agent.server.logformat import BadOption, flag

_RUN_SECONDS = 600.0

MakeUrl = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Which standard streams a client wants."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def read_options(request: web.Request) -> StreamOptions:
    """From the query; the agent's own names (input, output, error) and the API's both hold. BadOption."""
    query = request.query
    tty = flag(query, "tty")
    stdin = flag(query, "input") or flag(query, "stdin")
    stdout = flag(query, "output") or flag(query, "stdout")
    # With a terminal there is one output only.
    stderr = (flag(query, "error") or flag(query, "stderr")) and not tty
    if not (stdin or stdout or stderr):
        raise BadOption("you must specify at least one of stdin, stdout, stderr")
    return StreamOptions(stdin, stdout, stderr, tty)


class Streams:
    """The streaming handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def _container(self, request: web.Request) -> ContainerRef:
        where = request.match_info
        return self._runtime.find_container(
            where["namespace"], where["pod"], where["container"], uid=where.get("uid", "")
        )

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """Run a command in a container, connected to the client."""
        options = read_options(request)
        command = request.query.getall("command", [])
        if not command:
            raise BadOption("you must specify a command")
        container = self._container(request)

        async def make_url() -> str:
            return await self._runtime.exec_url(
                container.id,
                command,
                tty=options.tty,
                stdin=options.stdin,
                stdout=options.stdout,
                stderr=options.stderr,
            )

        return await _join(request, make_url, options)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """Connect the client to a container's main process."""
        options = read_options(request)
        container = self._container(request)
        # Whether there is a terminal was decided when the container was made.
        options = StreamOptions(
            options.stdin, options.stdout, options.stderr and not container.tty, container.tty
        )

        async def make_url() -> str:
            return await self._runtime.attach_url(
                container.id,
                tty=options.tty,
                stdin=options.stdin,
                stdout=options.stdout,
                stderr=options.stderr,
            )

        return await _join(request, make_url, options)

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        """Connect the client to ports of a pod."""
        where = request.match_info
        ports = _ports(request)

        async def make_url() -> str:
            return await self._runtime.port_forward_url(
                where["namespace"], where["pod"], ports, uid=where.get("uid", "")
            )

        if websocket.PORT_FORWARD in websocket.offered(request):
            return await websocket.port_forward(request, await make_url())
        upstream = await tunnel.connect(await make_url(), request.method, tunnel.passed_headers(request))
        try:
            return await tunnel.pass_through(request, upstream)
        finally:
            await upstream.close()

    async def run(self, request: web.Request) -> web.Response:
        """Run a command to its end and answer with its output."""
        command = request.query.getall("command", None) or request.query.get("cmd", "").split()
        if not command:
            raise BadOption("you must specify a command")
        result = await self._runtime.exec_sync(self._container(request).id, command, _RUN_SECONDS)
        output = (result.stdout + result.stderr).decode(errors="replace")
        return web.Response(text=output, status=200 if result.exit_code == 0 else 500)


def _ports(request: web.Request) -> list[int]:
    texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
    texts += request.query.getall("port", [])
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise BadOption(f"ports: {texts} are not all port numbers")
    return [int(text) for text in texts]


async def _join(request: web.Request, make_url: MakeUrl, options: StreamOptions) -> web.StreamResponse:
    """Offer the client's own upgrade to the runtime; translate what it does not know."""
    method, headers = request.method, tunnel.passed_headers(request)
    offered = websocket.offered(request)
    if offered == [websocket.V5]:
        wanted: dict[str, Any] = {
            "stdin": options.stdin,
            "stdout": options.stdout,
            "stderr": options.stderr,
            "resize": options.tty,
        }
        return await websocket.execute(request, await make_url(), wanted)
    upstream = await tunnel.connect(await make_url(), method, headers)
    try:
        return await tunnel.pass_through(request, upstream)
    finally:
        await upstream.close()
