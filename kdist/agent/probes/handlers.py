"""One probe or hook action: exec, httpGet, tcpSocket, grpc. Network clients are imported when first used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.api.meta import Obj

if TYPE_CHECKING:
    import aiohttp

MAX_OUTPUT = 10 << 10
_MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: a running container at its pod's address."""

    container_id: str
    ip: str
    container: Obj


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether it went well, and what it said. ``status`` is the HTTP code, where there is one."""

    ok: bool
    output: str = ""
    status: int = 0


def port_number(container: Obj, port: int | str) -> int:
    """A port by number or by the name that the container gives it. Raises ValueError."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    raise ValueError(f'container has no port named "{port}"')


class Handlers:
    """Runs actions; owns the HTTP session."""

    def __init__(self, cri: CriClient, *, api_level: str) -> None:
        self._cri = cri
        self._user_agent = f"kube-probe/{api_level}"
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def run(self, action: Mapping[str, Any], target: Target, timeout: float) -> Outcome:
        """Run one action within ``timeout`` seconds; whatever goes wrong is an outcome, not an exception."""
        try:
            async with asyncio.timeout(timeout + 1 if action.get("exec") else timeout):
                return await self._dispatch(action, target, timeout)
        except TimeoutError:
            return Outcome(False, f"command or request timed out after {timeout:g}s")
        except (OSError, ValueError) as error:
            return Outcome(False, str(error) or type(error).__name__)

    async def _dispatch(self, action: Mapping[str, Any], target: Target, timeout: float) -> Outcome:
        if "exec" in action:
            return await self._exec(action["exec"].get("command") or [], target, timeout)
        if "httpGet" in action:
            return await self._http(action["httpGet"], target)
        if "tcpSocket" in action:
            return await self._tcp(action["tcpSocket"], target)
        if "grpc" in action:
            return await self._grpc(action["grpc"], target, timeout)
        if "sleep" in action:
            await asyncio.sleep(float(action["sleep"]["seconds"]))
            return Outcome(True)
        raise ValueError("no known action")

    async def _exec(self, command: list[str], target: Target, timeout: float) -> Outcome:
        try:
            answer = await self._cri.exec_sync(target.container_id, command, timeout)
        except errors.CriTimeout as error:
            raise TimeoutError from error
        except errors.CriError as error:
            return Outcome(False, str(error))
        text = (answer.stdout + answer.stderr)[:MAX_OUTPUT].decode(errors="replace")
        return Outcome(answer.exit_code == 0, text)

    async def _http(self, get: Obj, target: Target) -> Outcome:
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        headers = {"User-Agent": self._user_agent, "Accept": "*/*"}
        headers.update({h["name"]: h["value"] for h in get.get("httpHeaders") or ()})
        url = _url(get, target)
        try:
            for _ in range(_MAX_REDIRECTS):
                async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                    body = (await answer.content.read(MAX_OUTPUT)).decode(errors="replace")
                    onward = urljoin(url, answer.headers.get("Location", ""))
                    if not 300 <= answer.status < 400 or onward == url:
                        return _verdict(answer.status, body)
                    if urlsplit(onward).hostname != urlsplit(url).hostname:
                        return Outcome(True, f"redirected to another host: {onward}", answer.status)
                    url = onward
        except aiohttp.ClientError as error:
            return Outcome(False, str(error))
        return Outcome(False, f"stopped after {_MAX_REDIRECTS} redirects")

    async def _tcp(self, socket: Obj, target: Target) -> Outcome:
        port = port_number(target.container, socket["port"])
        _, writer = await asyncio.open_connection(socket.get("host") or target.ip, port)
        writer.close()
        return Outcome(True)

    async def _grpc(self, grpc_action: Obj, target: Target, timeout: float) -> Outcome:
        import grpc.aio

        from kdist.agent.probes import health_pb2

        port = port_number(target.container, grpc_action["port"])
        host = f"[{target.ip}]" if ":" in target.ip else target.ip
        request = health_pb2.HealthCheckRequest(service=grpc_action.get("service") or "")
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = await check(request, timeout=timeout, metadata=(("user-agent", self._user_agent),))
            except grpc.aio.AioRpcError as error:
                return Outcome(False, f"service unhealthy: {error.details()}")
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        return Outcome(serving, f"service unhealthy (responded with {answer.status})" if not serving else "")


def _url(get: Obj, target: Target) -> str:
    host = get.get("host") or target.ip
    host = f"[{host}]" if ":" in host else host
    path = get.get("path") or "/"
    scheme = (get.get("scheme") or "HTTP").lower()
    port = port_number(target.container, get["port"])
    return f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"


def _verdict(status: int, body: str) -> Outcome:
    if 200 <= status < 400:
        return Outcome(True, body, status)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}", status)
