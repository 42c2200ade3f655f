"""The server on a real TLS connection: certificates in the scope, upgrades handed through, streams, shutdown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kdist.apiserver.selfsigned import serving_certificate

from .conftest import Api

N = "/api/v1/namespaces/default"
MERGE = {"content-type": "application/merge-patch+json"}


class Agent:
    """A node's agent: agrees to upgrades on /exec and echoes, refuses on /attach, has a log."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        if head.startswith(b"GET /containerLogs/default/p/c?tailLines=2 "):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nline\r\n0\r\n\r\n")
        elif b" /exec/" in head:
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello"
            )
            while data := await reader.read(1024):
                writer.write(data.upper())
        else:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        writer.close()


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[tuple[Agent, int]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, pem in zip(("crt", "key"), serving_certificate([]), strict=True):
        (tmp_path / name).write_bytes(pem)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    agent = Agent()
    server = await asyncio.start_server(agent.serve, "127.0.0.1", 0, ssl=context)
    yield agent, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def node(api: Api, agent: tuple[Agent, int]) -> Agent:
    """A pod ``p`` that runs on the agent's node."""
    await api.make("/api/v1/nodes", {"metadata": {"name": "n"}})
    status: dict[str, Any] = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": agent[1]}}
    await api("PATCH", "/api/v1/nodes/n/status", {"status": status}, MERGE)
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
    await api.make(f"{N}/pods", {"metadata": {"name": "p"}, "spec": spec})
    return agent[0]


async def connect(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cadata=api.server.ca_pem.decode())
    return await asyncio.open_connection("127.0.0.1", api.server.port, ssl=context)


async def test_the_certificate_that_the_server_made_can_be_verified(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok")
    writer.close()


async def test_an_upgrade_is_tunnelled_to_the_agent_in_both_directions(api: Api, node: Agent) -> None:
    reader, writer = await connect(api)
    writer.write(
        f"POST {N}/pods/p/exec?command=ls&command=-l&stdout=true&stdin=1 HTTP/1.1\r\nHost: x\r\n"
        "Authorization: Bearer secret\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\nearly".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert await reader.readexactly(10) == b"helloEARLY"
    writer.write(b"more")
    assert await reader.readexactly(4) == b"MORE"
    writer.close()
    [seen] = node.requests
    assert seen.startswith(b"POST /exec/default/p/c?input=1&output=1&command=ls&command=-l HTTP/1.1")
    assert b"x-stream-protocol-version: v4.channel.k8s.io" in seen.lower()
    assert b"secret" not in seen


async def test_an_agents_refusal_reaches_the_client(api: Api, node: Agent) -> None:
    reader, writer = await connect(api)
    request = (
        f"GET {N}/pods/p/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"no")
    writer.close()


async def test_an_exec_without_upgrade_is_a_bad_request(api: Api, node: Agent) -> None:
    answer = await api("POST", f"{N}/pods/p/exec?command=ls")
    assert (answer.status, answer.json["message"]) == (400, "Upgrade request required")


async def test_a_log_is_streamed_from_the_agent(api: Api, node: Agent) -> None:
    async with api.stream(f"{N}/pods/p/log?tailLines=2") as stream:
        body = b""
        while not stream.ended:
            message = await stream.next()
            body += message.get("body", b"")
    assert body == b"line"


async def test_a_container_that_is_not_there_is_told(api: Api, node: Agent) -> None:
    answer = await api("GET", f"{N}/pods/p/log?container=x")
    assert (answer.status, answer.json["message"]) == (400, "container x is not valid for pod p")


async def test_shutdown_ends_watches_on_open_connections(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(f"GET {N}/pods?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(3):
        await api.server.stop()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()


def _split(raw: bytes) -> list[tuple[bytes, bytes]]:
    """(head, body) of every answer on a connection."""
    answers = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answers.append((head, raw[:length]))
        raw = raw[length:]
    return answers


async def test_requests_sent_at_once_are_answered_one_after_the_other(api: Api) -> None:
    await api.make(f"{N}/configmaps", {"metadata": {"name": "first"}})
    await api.make(f"{N}/configmaps", {"metadata": {"name": "second"}})
    reader, writer = await connect(api)
    writer.write(
        f"GET {N}/configmaps/first HTTP/1.1\r\nHost: x\r\n\r\n"
        f"GET {N}/configmaps/gone HTTP/1.1\r\nHost: x\r\n\r\n"
        f"GET {N}/configmaps/second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    first, gone, second = _split(await reader.read())
    assert b'"name":"first"' in first[1]
    assert gone[0].startswith(b"HTTP/1.1 404 Not Found")
    assert b'"name":"second"' in second[1]
    assert b"connection: close" in second[0]
    writer.close()


async def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(api: Api) -> None:
    reader, writer = await connect(api)
    body = b'{"metadata":{"name":"slow"}}'
    writer.write(
        f"POST {N}/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Expect: 100-continue\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body[:10])
    await writer.drain()
    writer.write(body[10:])
    assert (await reader.read()).startswith(b"HTTP/1.1 201 Created")
    writer.close()


async def test_an_old_client_gets_its_connection_closed(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
    [(head, body)] = _split(await reader.read())
    assert body == b"ok"
    assert b"connection: close" in head
    writer.close()


async def test_what_is_no_http_is_refused(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(b"\x00\x01nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request")
    writer.close()


async def test_a_client_that_leaves_in_the_middle_of_a_list_harms_nobody(api: Api) -> None:
    for number in range(40):
        obj = {"metadata": {"name": f"big-{number}"}, "data": {"x": "y" * 200_000}}
        await api.make(f"{N}/configmaps", obj)
    reader, writer = await connect(api)
    writer.write(f"GET {N}/configmaps HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    reader, writer = await connect(api)
    writer.write(f"GET {N}/configmaps HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    [(_, body)] = _split(await reader.read())
    assert len(body) > 40 * 200_000
    writer.close()
