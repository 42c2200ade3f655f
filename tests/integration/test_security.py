"""API servers of their own, over real HTTPS: encrypted etcd, OpenID Connect, webhooks that know and that decide."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from kdist.apiserver.selfsigned import serving_certificate
from kdist.pki import files
from kdist.pki.plan import KUBERNETES_DIR, Cluster, Host
from tests.integration.conftest import Kubectl, eventually

Obj = dict[str, Any]
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(directory: Path, *options: str) -> Iterator[Path]:
    """An API server with these options; the path of its administrator's kubeconfig."""
    port = free_port()
    files.provision(
        directory, Cluster("t", "10.96.0.0/16", "cluster.local", (HOST,), port), Host("t", HOST, True)
    )
    pki = directory / KUBERNETES_DIR.relative_to("/") / "pki"
    command = [sys.executable, "-m", "kdist.cli.main", "apiserver", f"--bind-address={HOST}"]
    command += [f"--secure-port={port}", f"--client-ca-file={pki / 'ca.crt'}", f"--advertise-address={HOST}"]
    command += [f"--tls-cert-file={pki / 'apiserver.crt'}", f"--tls-private-key-file={pki / 'apiserver.key'}"]
    command += [f"--service-account-signing-key-file={pki / 'sa.key'}", "--shutdown-grace=1", *options]
    log = directory / "apiserver.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        eventually(lambda: " ready " in log.read_text() or process.poll() is not None, "the server runs")
        assert process.poll() is None, log.read_text()
        yield directory / KUBERNETES_DIR.relative_to("/") / "super-admin.conf"
    finally:
        process.terminate()
        process.wait(10)


def with_token(kubeconfig: Path, token: str) -> Path:
    """The same server for another user."""
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token}
    path = kubeconfig.with_name(f"token-{abs(hash(token))}.kubeconfig")
    path.write_text(yaml.safe_dump(document))
    return path


# ----- somebody else's HTTPS server


@dataclass
class Remote:
    """Answers by path; keeps what it was sent."""

    answers: dict[str, Callable[[Obj], Obj]] = field(default_factory=dict)
    sent: list[Obj] = field(default_factory=list)
    url: str = ""
    ca: bytes = b""

    def kubeconfig(self, path: Path, at: str) -> Path:
        cluster = {"server": self.url + at, "certificate-authority-data": base64.b64encode(self.ca).decode()}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    remote = Remote()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            remote.sent.append(body)
            self._reply(body)

        def _reply(self, body: Obj) -> None:
            answer = json.dumps(remote.answers[self.path](body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            return

    certificate, key = serving_certificate([HOST])
    chain = tmp_path / "remote.pem"
    chain.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    remote.url, remote.ca = f"https://{HOST}:{server.server_port}", certificate
    yield remote
    server.shutdown()
    thread.join()
    server.server_close()


def test_users_come_from_an_issuer_and_its_groups_hold(
    remote: Remote, tmp_path: Path, kubectl_binary: str
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    remote.answers["/.well-known/openid-configuration"] = lambda _: {
        "issuer": remote.url,
        "jwks_uri": f"{remote.url}/keys",
    }
    remote.answers["/keys"] = lambda _: {"keys": [{**public, "kid": "k", "alg": "RS256", "use": "sig"}]}
    ca = tmp_path / "issuer.crt"
    ca.write_bytes(remote.ca)
    options = [f"--oidc-issuer-url={remote.url}", "--oidc-client-id=kubernetes", f"--oidc-ca-file={ca}"]
    options += ["--oidc-username-claim=email", "--oidc-groups-claim=groups", "--oidc-groups-prefix=oidc:"]

    def token(**claims: Any) -> str:
        body = {"iss": remote.url, "aud": "kubernetes", "exp": time.time() + 300, "sub": "1", **claims}
        return jwt.encode(body, key, "RS256", headers={"kid": "k"})

    with running(tmp_path / "server", "--storage=memory", *options) as admin:
        root = Kubectl(kubectl_binary, admin)
        root("create", "clusterrolebinding", "dev", "--clusterrole=view", "--group=oidc:dev")
        jane = Kubectl(kubectl_binary, with_token(admin, token(email="jane@example.com", groups=["dev"])))
        told = json.loads(jane("auth", "whoami", "-o", "json"))["status"]["userInfo"]
        assert told["username"] == "jane@example.com"
        assert told["groups"] == ["oidc:dev", "system:authenticated"]
        assert jane("auth", "can-i", "list", "pods").strip() == "yes"
        assert "is forbidden" in jane.fails("create", "configmap", "x")
        old = Kubectl(kubectl_binary, with_token(admin, token(email="jane@example.com", exp=1)))
        assert "Unauthorized" in old.fails("get", "--raw", "/api/v1/pods") or "logged in" in old.fails(
            "get", "pods"
        )


def test_webhooks_know_users_and_decide(remote: Remote, tmp_path: Path, kubectl_binary: str) -> None:
    def review_token(review: Obj) -> Obj:
        known = review["spec"]["token"] == "secret-of-joe"
        user = {"username": "joe", "groups": ["ops"]}
        return {**review, "status": {"authenticated": known, "user": user if known else {}}}

    def review_access(review: Obj) -> Obj:
        asked = review["spec"].get("resourceAttributes") or {}
        denied = asked.get("resource") == "secrets"
        return {**review, "status": {"allowed": not denied, "denied": denied, "reason": "says the webhook"}}

    remote.answers = {"/token": review_token, "/access": review_access}
    tokens = remote.kubeconfig(tmp_path / "tokens.kubeconfig", "/token")
    access = remote.kubeconfig(tmp_path / "access.kubeconfig", "/access")
    hook = {
        "timeout": "3s",
        "authorizedTTL": "5m",
        "unauthorizedTTL": "30s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(access)},
        "matchConditions": [{"expression": "request.user == 'joe'"}],
    }
    configuration = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "Webhook", "name": "joe", "webhook": hook},
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
        ],
    }
    path = tmp_path / "authorization.yaml"
    path.write_text(yaml.safe_dump(configuration))
    options = [f"--authorization-config={path}", f"--authentication-token-webhook-config-file={tokens}"]
    options += ["--authentication-token-webhook-version=v1"]
    with running(tmp_path / "server", "--storage=memory", *options) as admin:
        joe = Kubectl(kubectl_binary, with_token(admin, "secret-of-joe"))
        assert json.loads(joe("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"] == "joe"
        joe("create", "configmap", "x")
        assert "says the webhook" in joe.fails("get", "secrets")
        assert joe("auth", "can-i", "delete", "nodes").strip() == "yes"
        joe("get", "pods", "--field-selector=spec.nodeName=n", "-l", "app=web")
        listed = [r["spec"].get("resourceAttributes", {}) for r in remote.sent if r["kind"] != "TokenReview"]
        selected = [r["fieldSelector"] for r in listed if "fieldSelector" in r]
        assert selected[0]["requirements"] == [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]
        root = Kubectl(kubectl_binary, admin)
        as_joe = ("auth", "can-i", "get", "secrets", "--as=joe", "--as-group=system:authenticated")
        assert root.run(as_joe).stdout.strip() == "no - says the webhook"
        asked = len(remote.sent)
        assert root.run(("auth", "can-i", "get", "secrets", "--as=jane")).stdout.strip() == "no"
        assert len(remote.sent) == asked


# ----- encryption


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    if shutil.which("etcd") is None:
        pytest.fail("etcd is not on PATH")
    client, peer = (f"http://{HOST}:{free_port()}" for _ in range(2))
    command = ["etcd", "--data-dir", str(tmp_path / "etcd"), "--unsafe-no-fsync", "--log-level=error"]
    command += ["--listen-client-urls", client, "--advertise-client-urls", client]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    with (tmp_path / "etcd.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield client
    process.terminate()
    process.wait(10)


def test_secrets_are_encrypted_and_keys_exchanged(etcd: str, tmp_path: Path, kubectl_binary: str) -> None:
    from kdist.lifecycle import encryptionconfig as keys

    path = tmp_path / "encryption.yaml"
    path.write_text(keys.converge(None, ["secrets"]) or "")
    options = ["--storage=etcd", f"--etcd-servers={etcd}", f"--encryption-provider-config={path}"]

    def stored(name: str) -> bytes:
        command = [
            "etcdctl",
            "--endpoints",
            etcd,
            "get",
            f"/registry/secrets/default/{name}",
            "--print-value-only",
        ]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def kdist(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kdist.cli.main", "encryption", *args],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with running(tmp_path / "server", *options) as admin:
        kubectl = Kubectl(kubectl_binary, admin)
        kubectl("create", "secret", "generic", "a", "--from-literal=password=hunter2")
        assert stored("a").startswith(b"k8s:enc:secretbox:v1:key1:")
        assert b"hunter2" not in stored("a")
    for step in ("add-key", "promote-key"):
        kdist(step, "--file", str(path))
    with running(tmp_path / "server", *options) as admin:
        kubectl = Kubectl(kubectl_binary, admin)
        assert kubectl.get("secret", "a")["data"]["password"] == base64.b64encode(b"hunter2").decode()
        kubectl("create", "secret", "generic", "b")
        assert stored("b").startswith(b"k8s:enc:secretbox:v1:key2:")
        journal = tmp_path / "journal.json"
        told = kdist("rewrite", "--kubeconfig", str(admin), "--journal", str(journal))
        assert "2 objects: 1 written, 1 already as they should be" in told
        assert stored("a").startswith(b"k8s:enc:secretbox:v1:key2:")
        assert not journal.exists()
    kdist("remove-keys", "--file", str(path))
    lost = yaml.safe_load(path.read_text())
    with running(tmp_path / "server", *options) as admin:
        kubectl = Kubectl(kubectl_binary, admin)
        assert len(kubectl.get("secrets")["items"]) == 2
    lost["resources"][0]["providers"][0]["secretbox"]["keys"] = [
        {"name": "other", "secret": keys.new_secret()}
    ]
    path.write_text(yaml.safe_dump(lost))
    with running(tmp_path / "server", *options) as admin:
        kubectl = Kubectl(kubectl_binary, admin)
        kubectl("create", "secret", "generic", "c")
        told = kubectl.fails("get", "secret", "a")
        assert 'unable to transform key "/registry/secrets/default/a": no matching key was found' in told
        assert "/registry/secrets/default/a" in kubectl.fails("get", "secrets")
        kubectl("get", "secret", "c")
        kubectl("get", "configmaps")
