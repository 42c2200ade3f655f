"""Bad input over real HTTP: clear answers with upstream's codes, bounded memory, and nobody else is slowed down.

The codes and reasons were compared with upstream's server; where ours differ on purpose the row says so.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
import yaml

from tests.integration.conftest import start_dev, stop_dev

MAPS = "/api/v1/namespaces/default/configmaps"
DRY = MAPS + "?dryRun=All"
JSON = {"content-type": "application/json"}
MIB = 1024 * 1024
# What the well-behaved client may be made to wait, in seconds. The machine is shared: quiet, it is a few milliseconds.
P99 = 1.0
SAMPLES = 100
GROWTH = 150 * MIB  # of the server's resident memory over one attack


@dataclass
class Answer:
    """Code, headers and body of an answer; ``status`` is the body when it is a Status."""

    code: int
    headers: dict[str, str]
    body: bytes
    status: dict[str, Any] = field(default_factory=dict)


@dataclass
class Server:
    """A running API server, and ways to talk to it as its administrator."""

    port: int
    context: ssl.SSLContext
    process: psutil.Process

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        if isinstance(body, dict | list):
            body = json.dumps(body)
        connection = self.connection()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        with contextlib.suppress(ValueError):
            decoded = json.loads(answer.body)
            answer.status = decoded if isinstance(decoded, dict) else {}
        return answer

    def raw(self, seconds: float = 30) -> ssl.SSLSocket:
        """A connection without HTTP."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def memory(self) -> int:
        return int(self.process.memory_info().rss)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("bad")
    process = start_dev(directory, "--only", "apiserver", "--port", "0")
    config = yaml.safe_load((directory / "admin.kubeconfig").read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]))
        pem.write(base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    yield Server(int(cluster["server"].rpartition(":")[2]), context, psutil.Process(process.pid))
    log = (directory / "dev.log").read_text()
    assert stop_dev(process) == 0
    assert "Traceback" not in log, log


def _map(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **metadata}}


def _text(**metadata: Any) -> str:
    return json.dumps(_map(**metadata))


def _bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(8)]
    return "\n".join([*lines, "metadata: {name: x}"])


def _token(**fields: Any) -> str:
    return (
        base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", **fields}).encode()).decode().rstrip("=")
    )


YAML = {"content-type": "application/yaml"}
PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf"}
BODIES: list[tuple[str, Any, dict[str, str], int, str]] = [
    ("empty", "", JSON, 400, "BadRequest"),
    ("cut off", '{"metadata":', JSON, 400, "BadRequest"),
    ("an array", "[]", JSON, 400, "BadRequest"),
    ("a number", "3", JSON, 400, "BadRequest"),
    ("something after the object", _text() + "}", JSON, 400, "BadRequest"),
    (
        "no UTF-8 (upstream replaces it)",
        b'{"metadata":{"name":"x"},"data":{"a":"\xff"}}',
        JSON,
        400,
        "BadRequest",
    ),
    ("half a surrogate (upstream replaces it)", '{"metadata":{"name":"\\ud800"}}', JSON, 400, "BadRequest"),
    ("NaN", '{"metadata":{"name":"x","generation":NaN}}', JSON, 400, "BadRequest"),
    (
        "a huge integer",
        '{"metadata":{"name":"x","generation":99999999999999999999}}',
        JSON,
        400,
        "BadRequest",
    ),
    ("a huge exponent", '{"metadata":{"name":"x","generation":1e999}}', JSON, 400, "BadRequest"),
    ("a fraction for an integer", '{"metadata":{"name":"x","generation":1.5}}', JSON, 400, "BadRequest"),
    (
        "10,000 levels (upstream takes up to that)",
        '{"x":' + "[" * 9999 + "]" * 9999 + "}",
        JSON,
        400,
        "BadRequest",
    ),
    ("300 levels (upstream takes them)", '{"x":' + "[" * 300 + "]" * 300 + "}", JSON, 400, "BadRequest"),
    ("a million open brackets", "[" * 1_000_000, JSON, 400, "BadRequest"),
    ("another kind", '{"kind":"Secret","apiVersion":"v1"}', JSON, 400, "BadRequest"),
    ("text for an object", '{"metadata":"x"}', JSON, 400, "BadRequest"),
    ("a number for a label", _map(labels={"a": 1}), JSON, 400, "BadRequest"),
    ("a number for a name", _map(name=3), JSON, 400, "BadRequest"),
    ("a time that is none", _map(creationTimestamp="yesterday"), JSON, 400, "BadRequest"),
    ("a huge label", _map(labels={"a": "x" * 100_000}), JSON, 422, "Invalid"),
    ("a label with a space", _map(labels={"a b": "x"}), JSON, 422, "Invalid"),
    ("huge annotations", _map(annotations={"a": "x" * 300_000}), JSON, 422, "Invalid"),
    ("a long name", _map(name="x" * 300), JSON, 422, "Invalid"),
    ("no name", _map(name=""), JSON, 422, "Invalid"),
    ("a finalizer without a domain", _map(finalizers=["x"]), JSON, 422, "Invalid"),
    ("an owner without an identity", _map(ownerReferences=[{"name": "a"}]), JSON, 422, "Invalid"),
    ("more data than fits", {**_map(), "data": {"a": "x" * 1_100_000}}, JSON, 422, "Invalid"),
    ("more than 3 MiB", {**_map(), "data": {"a": "x" * 3_200_000}}, JSON, 413, "RequestEntityTooLarge"),
    ("text", _text(), {"content-type": "text/plain"}, 415, "UnsupportedMediaType"),
    ("a form", _text(), {"content-type": "application/x-www-form-urlencoded"}, 415, "UnsupportedMediaType"),
    ("a type that is none", _text(), {"content-type": ";;;"}, 415, "UnsupportedMediaType"),
    ("YAML that is none", "metadata: {name: [", YAML, 400, "BadRequest"),
    ("YAML aliases of aliases", _bomb(), YAML, 400, "BadRequest"),
    ("a YAML circle", "metadata: {name: x}\ndata: &a {b: *a}", YAML, 400, "BadRequest"),
    ("deep YAML", "x: " + "[" * 100_000, YAML, 400, "BadRequest"),
    ("YAML with code", "a: !!python/object:os.system x", YAML, 400, "BadRequest"),
    ("YAML that is no number", "metadata: {name: x, generation: .nan}", YAML, 400, "BadRequest"),
    ("bytes for YAML", b"\xff\xfe\x00", YAML, 400, "BadRequest"),
    ("nothing for protobuf", b"", PROTOBUF, 400, "BadRequest"),
    ("text for protobuf", b"junk", PROTOBUF, 400, "BadRequest"),
    ("protobuf cut off", b"k8s\x00\xff\xff\xff\xff\xff", PROTOBUF, 400, "BadRequest"),
]


@pytest.mark.parametrize(
    ("body", "headers", "code", "reason"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES]
)
def test_bodies_are_refused(
    server: Server, body: Any, headers: dict[str, str], code: int, reason: str
) -> None:
    answer = server.ask("POST", DRY, body, headers)
    assert (answer.code, answer.status.get("reason")) == (code, reason), answer.body[:500]
    assert answer.status["message"]
    assert len(answer.status["message"]) < 200_000 + 2 * len(body if isinstance(body, str | bytes) else "")


QUERIES: list[tuple[str, int]] = [
    ("limit=abc", 400), ("limit=99999999999999999999", 400), ("timeoutSeconds=abc", 400),
    ("resourceVersion=abc", 422), ("resourceVersion=-1", 422), ("resourceVersion=%C2%B2", 422),
    ("resourceVersion=1&resourceVersionMatch=Foo", 422), ("resourceVersionMatch=Exact", 422),
    ("resourceVersion=0&resourceVersionMatch=Exact", 422), ("sendInitialEvents=true", 422),
    ("continue=abc", 400), ("continue=W10", 400), ("continue=%00", 400),
    ("continue=" + _token(rv=1, start="../../secrets/"), 400), ("continue=" + _token(rv=0, start="a"), 400),
    ("continue=" + _token(rv="x", start="a"), 400), ("continue=" + _token(rv=1), 400),
    ("labelSelector=a+in+(", 400), ("labelSelector=a%3D" + "x" * 100, 400), ("labelSelector=" + "!" * 5000, 400),
    ("labelSelector=a+in+(" + "(" * 5000, 400), ("labelSelector=%FF%FE", 400),
    ("fieldSelector=foo%3Dbar", 400), ("fieldSelector=foo", 400), ("fieldSelector=metadata.name%3Da%5C", 400),
    ("watch=1&resourceVersion=abc", 422), ("watch=1&timeoutSeconds=abc", 400),
    ("watch=1&sendInitialEvents=true", 422), ("watch=1&resourceVersionMatch=NotOlderThan", 422),
    ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422),
    # harmless, and so taken
    ("limit=-1", 200), ("watch=1&timeoutSeconds=1&limit=5", 200), ("pretty=abc", 200), ("nonsense=" + "x" * 5000, 200),
    ("labelSelector=" + ",".join(f"a{n}!%3Db" for n in range(3000)), 200),
    ("fieldSelector=" + ",".join(["metadata.name!%3Db"] * 3000), 200),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code"), QUERIES, ids=[q[0][:50] for q in QUERIES])
def test_queries_are_judged_before_anything_is_answered(server: Server, query: str, code: int) -> None:
    answer = server.ask("GET", f"{MAPS}?{query}")
    assert answer.code == code, answer.body[:500]
    if code != 200:
        assert answer.status["kind"] == "Status"


PATHS = [
    "/%", "/api/v1/%zz", "//", "/api/v1//configmaps", "/api/v9/pods", "/apis/none/v1/x", "/api/v1/pods/x/y/z",
    f"{MAPS}/%00", f"{MAPS}/%ff", f"{MAPS}/a%2Fb", f"{MAPS}/..", f"{MAPS}/" + "x" * 30_000, "/" + "a/" * 10_000,
    "/api/v1/namespaces/default/pods/x/none", "/openapi/v3/../../etc/passwd", "/openapi/v3/%2e%2e",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=[p[:40] for p in PATHS])
def test_paths_that_lead_nowhere(server: Server, path: str) -> None:
    assert server.ask("GET", path).code in (400, 404)


@pytest.mark.parametrize(
    "accept", ["image/png", "application/json;as=Foo;v=v1;g=meta.k8s.io", "application/cbor-seq"]
)
def test_forms_that_nobody_serves(server: Server, accept: str) -> None:
    answer = server.ask("GET", MAPS, headers={"accept": accept})
    assert (answer.code, answer.status["reason"]) == (406, "NotAcceptable")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_methods_where_they_are_not_served(server: Server, method: str) -> None:
    path = f"{MAPS}/x" if method == "POST" else MAPS
    answer = server.ask(method, path, "{}", JSON)
    assert (answer.code, answer.status["reason"]) == (405, "MethodNotAllowed")


# ----- attacks, while somebody else works


@contextlib.contextmanager
def _others_stay_fast(server: Server) -> Iterator[None]:
    """A client that reads and writes all along: no error, the p99 below its bound, memory below its own."""
    times: list[float] = []
    faults: list[str] = []
    stop = threading.Event()
    before = server.memory()

    def work() -> None:
        connection = server.connection()
        body = json.dumps({**_map(name="steady"), "data": {"a": "1"}})
        while not stop.is_set() or len(times) < SAMPLES:
            for method, path, sent in (("GET", f"{MAPS}/steady", None), ("PUT", f"{MAPS}/steady", body)):
                begun = time.monotonic()
                connection.request(method, path, sent, JSON)
                response = connection.getresponse()
                response.read()
                times.append(time.monotonic() - begun)
                if response.status >= 400:
                    faults.append(f"{method}: {response.status}")
            stop.wait(0.005)
        connection.close()

    server.ask("POST", MAPS, _map(name="steady"), JSON)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    growth = server.memory() - before
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"p99 {p99 * 1000:.1f} ms of {len(times)} requests, memory {growth / MIB:+.0f} MiB")
    assert not faults
    assert p99 < P99, f"p99 {p99:.3f} s of {len(times)} requests"
    assert growth < GROWTH, f"{growth / MIB:.0f} MiB more"


def _repeat(
    server: Server, times: int, method: str, path: str, body: str | bytes, content_type: str
) -> list[int]:
    return [server.ask(method, path, body, {"content-type": content_type}).code for _ in range(times)]


def _patch_bombs(server: Server) -> None:
    server.ask("POST", MAPS, {**_map(name="target"), "data": {"a": "x" * 1000}}, JSON)
    target, kind = f"{MAPS}/target", "application/json-patch+json"
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/c{n}"} for n in range(40)]
    nesting = [{"op": "add", "path": "/data" + "/a" * n, "value": {}} for n in range(1, 1000)]
    many = [{"op": "test", "path": "/data/a", "value": "x"}] * 10_001
    list_of_many = [{"op": "add", "path": "/data/l", "value": [0] * 200_000}]
    shifting = list_of_many + [{"op": "add", "path": "/data/l/0", "value": 0}] * 9_000
    for patch, code in ((doubling, 422), (nesting, 422), (many, 413), (shifting, 422)):
        assert set(_repeat(server, 3, "PATCH", target, json.dumps(patch), kind)) == {code}


def _yaml_bombs(server: Server) -> None:
    assert set(_repeat(server, 5, "POST", DRY, _bomb(), "application/yaml")) == {400}
    values = "metadata: {name: x}\ndata: [" + "1," * 1_000_000 + "]"
    assert set(_repeat(server, 1, "POST", DRY, values, "application/yaml")) == {400}


def _oversized(server: Server) -> None:
    body = json.dumps({**_map(), "data": {"a": "x" * 3_200_000}})
    assert set(_repeat(server, 20, "POST", DRY, body, "application/json")) == {413}


def _endless_chunks(server: Server) -> None:
    head = f"POST {DRY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    _send_until_closed(server, head.encode(), chunk)


def _endless_headers(server: Server) -> None:
    _send_until_closed(server, b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: " + b"b" * 65536 + b"\r\n")
    _send_until_closed(server, b"GET /", b"x" * 65536)


def _send_until_closed(server: Server, opening: bytes, more: bytes) -> None:
    """The server, which has heard enough, closes the connection."""
    deadline = time.monotonic() + 20
    with server.raw() as connection, pytest.raises(OSError):
        connection.sendall(opening)
        while time.monotonic() < deadline:
            connection.sendall(more)


def _slow_clients(server: Server) -> None:
    head = f"POST {DRY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.raw()) for _ in range(100)]
        for at, connection in enumerate(slow):
            connection.sendall(head.encode()[: 20 if at % 2 else None])
        for _ in range(20):
            for connection in slow:
                connection.sendall(b" " if slow.index(connection) % 2 == 0 else b"x")
        stack.enter_context(_half_open(server, 100))
        time.sleep(1)


@contextlib.contextmanager
def _half_open(server: Server, count: int) -> Iterator[None]:
    """Connections that never begin their TLS handshake."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        yield


def _slow_readers(server: Server) -> None:
    for n in range(10):
        server.ask("POST", MAPS, {**_map(name=f"large-{n}"), "data": {"a": "x" * 500_000}}, JSON)
    with contextlib.ExitStack() as stack:
        for n in range(40):
            connection = stack.enter_context(server.raw())
            watching = "?watch=1" if n % 2 else ""
            connection.sendall(f"GET {MAPS}{watching} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        time.sleep(2)
    for n in range(10):
        server.ask("DELETE", f"{MAPS}/large-{n}")


def _pipelined(server: Server) -> None:
    request = b"GET /api/v1/namespaces/default HTTP/1.1\r\nhost: x\r\n\r\n"
    with server.raw() as connection:
        connection.sendall(request * 200)
        seen = b""
        while seen.count(b"HTTP/1.1 200") < 200:
            data = connection.recv(65536)
            assert data, f"closed after {seen.count(b'HTTP/1.1')} answers"
            seen += data


def _garbage(server: Server) -> None:
    exec_path = "/api/v1/namespaces/default/pods/none/exec?command=x"
    upgrade = f"GET {exec_path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %s\r\n"
    key = "sec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n"
    for opening in (
        os.urandom(4096),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x80\x03\x00\x01" + os.urandom(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        (upgrade % "websocket" + key).encode() + os.urandom(4096),
        (upgrade % "SPDY/3.1" + "\r\n").encode() + os.urandom(4096),
        (upgrade % "h2c" + "\r\n").encode() + os.urandom(4096),
    ):
        with server.raw(5) as connection:
            connection.sendall(opening)
            with contextlib.suppress(OSError):
                answer = connection.recv(65536)
                assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]


def _selectors(server: Server) -> None:
    many = ",".join(f"a{n}+in+(" + ",".join(f"v{m}" for m in range(20)) + ")" for n in range(800))
    for _ in range(20):
        assert server.ask("GET", f"/api/v1/configmaps?labelSelector={many}").code == 200
        assert server.ask("GET", "/api/v1/pods?labelSelector=" + "(" * 20_000).code == 400


def _hostile_managed_fields(server: Server) -> None:
    server.ask("POST", MAPS, _map(name="managed"), JSON)
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"f:a": deep}
    for fields in (deep, {"f:x": 3}, {"k:{bad": {}}, {f"f:{n}": {} for n in range(20_000)}):
        entry = {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        patch = json.dumps({"metadata": {"managedFields": [entry]}})
        assert _repeat(server, 1, "PATCH", f"{MAPS}/managed", patch, "application/merge-patch+json") == [200]
    applied = json.dumps(_map(name="managed"))
    path = f"{MAPS}/managed?fieldManager=a&force=true"
    assert _repeat(server, 1, "PATCH", path, applied, "application/apply-patch+yaml") == [200]


ATTACKS: list[Callable[[Server], None]] = [
    _patch_bombs, _yaml_bombs, _oversized, _endless_chunks, _endless_headers, _slow_clients, _slow_readers,
    _pipelined, _garbage, _selectors, _hostile_managed_fields,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=[a.__name__.strip("_") for a in ATTACKS])
def test_an_attack_costs_others_nothing(server: Server, attack: Callable[[Server], None]) -> None:
    with _others_stay_fast(server):
        attack(server)


def test_a_header_that_goes_on_is_refused_in_words(server: Server) -> None:
    with server.raw() as connection:
        connection.sendall(b"GET /api HTTP/1.1\r\nhost: x\r\na: " + b"b" * (MIB + 70_000))
        assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")
