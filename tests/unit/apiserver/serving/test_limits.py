"""What a server does with clients that want too much, on real connections."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from kdist.apiserver import slowness
from kdist.apiserver.authn.user import User
from kdist.apiserver.flowcontrol.gate import FlowGate, InflightGate

from .conftest import Api

N = "/api/v1/namespaces/default"
ALICE = User("alice", groups=("system:authenticated",))


async def connect(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", api.server.port, ssl=context)


async def test_a_body_that_says_it_is_too_large_is_refused_unread(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(f"POST {N}/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".encode())
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_body_that_grows_too_large_is_refused(api: Api) -> None:
    reader, writer = await connect(api)
    writer.write(f"POST {N}/configmaps HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    for _ in range(4):
        writer.write(chunk)
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_timeout_that_is_none_is_refused(api: Api) -> None:
    assert (await api("GET", f"{N}/pods?timeout=soon")).status == 400


async def test_answers_name_flow_schema_and_priority_level(api: Api) -> None:
    schema = await api("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt")
    level = await api("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/exempt")
    answer = await api("GET", f"{N}/pods")
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == schema.json["metadata"]["uid"]
    assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == level.json["metadata"]["uid"]


async def test_the_objects_of_upstream_are_there(api: Api) -> None:
    listed = (await api("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")).json["items"]
    order = sorted((o["spec"]["matchingPrecedence"], o["metadata"]["name"]) for o in listed)
    assert [name for _, name in order] == [
        *("exempt", "probes", "system-leader-election", "endpoint-controller", "workload-leader-election"),
        *("system-node-high", "system-nodes", "kube-controller-manager", "kube-scheduler"),
        *("kube-system-service-accounts", "service-accounts", "global-default", "catch-all"),
    ]


async def test_a_level_without_seats_answers_429_with_retry_after(api: Api) -> None:
    class Alice:
        async def authenticate(self, scope: object, headers: object = None) -> User:
            return ALICE

    gate = api.server.core.gate
    assert isinstance(gate, FlowGate)
    level = gate.levels.levels["catch-all"]
    gate.levels.configure([], [])  # only the mandatory objects: everybody is in catch-all
    level.queues.configure(level.queuing, 0)
    level.queues.executing = 1  # somebody is at it, so that nobody runs alone
    api.server.core.authenticator = Alice()  # type: ignore[assignment]
    answer = await api("GET", f"{N}/pods")
    assert (answer.status, answer.json["reason"]) == (429, "TooManyRequests")
    assert answer.headers["retry-after"] == "1"


async def test_plain_limits_refuse_all_but_administrators(api: Api) -> None:
    gate = InflightGate(1, 1)
    request = type("R", (), {})()
    request.info = type("I", (), {"verb": "get"})()
    request.user = ALICE
    admitted = gate.arrive(request)
    assert admitted is not None
    from kdist.api.errors import TooManyRequests

    with pytest.raises(TooManyRequests):
        gate.arrive(request)
    request.user = User("admin", groups=("system:masters",))
    assert gate.arrive(request) is not None
    gate.leave(admitted)
    gate.leave(admitted)
    assert len(gate.inflight[True]) == 1


async def test_a_watch_takes_a_seat_only_until_it_is_initialized(api: Api) -> None:
    gate = api.server.core.gate
    assert isinstance(gate, FlowGate)
    queues = gate.levels.levels["exempt"].queues
    before = queues.executing
    async with api.stream(f"{N}/configmaps?watch=true&resourceVersion=0") as stream:
        await stream.next()
        await api.make(f"{N}/configmaps", {"metadata": {"name": "seen"}})
        async with asyncio.timeout(10):
            while (await stream.event())["object"]["metadata"]["name"] != "seen":
                continue
        assert queues.executing == before


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/livez", 200, "ok"),
        ("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"),
        ("/livez/ping", 200, "ok"),
        ("/livez/none", 404, "404 page not found\n"),
        (
            "/livez?verbose&exclude=ping&exclude=x",
            200,
            '[+]ping excluded: ok\nwarn: some health checks cannot be excluded: no matches for "x"\n'
            "livez check passed\n",
        ),
    ],
)
async def test_health_is_told_as_upstream_tells_it(api: Api, path: str, status: int, body: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.body.decode()) == (status, body)


async def test_readyz_fails_before_the_server_stops_serving(api: Api) -> None:
    api.server.core.draining = True
    ready = await api("GET", "/readyz")
    assert ready.status == 500
    assert b"[-]shutdown failed: reason withheld" in ready.body
    assert (await api("GET", f"{N}/pods")).status == 200


async def test_metrics_have_upstreams_names_and_labels(api: Api) -> None:
    await api.make(f"{N}/configmaps", {"metadata": {"name": "a"}})
    await api("GET", f"{N}/configmaps/a")
    text = (await api("GET", "/metrics")).body.decode()
    created = (
        'apiserver_request_total{verb="POST",group="",version="v1",resource="configmaps",subresource="",'
        'scope="resource",component="apiserver",dry_run="",code="201"}'
    )
    assert created in text
    for name in (
        "apiserver_request_duration_seconds_bucket",
        "apiserver_response_sizes_sum",
        "apiserver_current_inflight_requests",
        "apiserver_storage_objects",
        "apiserver_flowcontrol_dispatched_requests_total",
        "apiserver_flowcontrol_nominal_limit_seats",
        "apiserver_flowcontrol_request_execution_seconds_bucket",
        "process_cpu_seconds_total",
        "kubernetes_build_info",
    ):
        assert f"\n{name}" in text, name


async def test_flow_control_can_be_looked_into(api: Api) -> None:
    base = "/debug/api_priority_and_fairness"
    levels = (await api("GET", f"{base}/dump_priority_levels")).body.decode().splitlines()
    assert levels[0].split(",")[0] == "PriorityLevelName"
    assert {line.split(",")[0] for line in levels[1:]} >= {"exempt", "catch-all", "workload-low"}
    requests = (await api("GET", f"{base}/dump_requests?includeRequestDetails=1")).body.decode()
    assert f"{base}/dump_requests" in requests, "the request itself, in its exempt level"
    assert (await api("GET", f"{base}/dump_queues")).status == 200


def test_the_steps_of_a_slow_request_are_told_with_their_times() -> None:
    request = type("R", (), {})()
    request.begun, request.steps = 10.0, [("body read", 10.4), ("decoded", 10.5)]
    assert slowness.steps(request, 0.6) == "body read 400ms, decoded 100ms, answered 100ms"
