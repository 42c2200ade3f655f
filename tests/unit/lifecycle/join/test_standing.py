"""What a host makes of how API servers take its certificate: only a refusal counts."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kdist.lifecycle.join import standing
from kdist.pki import files, issue, plan

CLUSTER = plan.Cluster("test", "10.96.0.0/16", "cluster.local", ("127.0.0.1",))
HOST = plan.Host("cp1", "127.0.0.1", control_plane=True)
SAID = "node cp1 was removed from the cluster"


class Server(HTTPServer):
    """An API server that answers everybody with one status."""

    code = 200
    body = json.dumps({"message": SAID, "details": {"name": "cp1", "kind": "removednode"}}).encode()

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        pki = root / "etc/kubernetes/pki"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        context.load_verify_locations(pki / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.authority = (pki / "ca.crt").read_bytes()
        self.certificate = root / str(plan.NODE_CLIENT_FILE).lstrip("/")
        self.url = f"https://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        assert self.path == "/api/v1/nodes/cp1"
        self.send_response(server.code)
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    files.provision(tmp_path, CLUSTER, HOST)
    server = Server(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def told(server: Server, *before: str) -> str | None:
    return standing.refusal([*before, server.url], server.authority, server.certificate, "cp1")


@pytest.mark.parametrize("code", [200, 401, 403, 404, 500, 503])
def test_an_answer_about_anything_else_is_no_refusal(server: Server, code: int) -> None:
    server.code, server.body = code, json.dumps({"message": "no", "details": {"kind": "nodes"}}).encode()
    assert told(server) is None
    server.body = b"no"
    assert told(server) is None


def test_a_refusal_is_told_in_the_words_of_the_cluster(server: Server) -> None:
    server.code = 401
    assert told(server) == SAID


def test_servers_that_do_not_answer_are_passed_over(server: Server) -> None:
    server.code = 401
    assert told(server, "https://127.0.0.1:1") == SAID


def test_without_an_answer_or_a_certificate_nothing_is_refused(server: Server, tmp_path: Path) -> None:
    certificate = server.certificate
    assert standing.refusal(["https://127.0.0.1:1"], server.authority, certificate, "cp1") is None
    assert standing.refusal([server.url], server.authority, tmp_path / "none.pem", "cp1") is None
    server.code = 401
    stranger = issue.create_authority(plan.CLUSTER_CA).certificate
    assert standing.refusal([server.url], stranger, certificate, "cp1") is None
