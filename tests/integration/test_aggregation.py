"""An extension server behind an APIService: one more group of the same cluster to every client."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.conftest import Kubectl, eventually

Obj = dict[str, Any]
EXAMPLE = Path(__file__).parents[2] / "examples" / "extension_server.py"
NAME, GROUP = "v1.notes.example.com", "notes.example.com"


def _own_address() -> str:
    """An address of this host that is not loopback: endpoints must not be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


def _certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a DNS name, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "notes.crt").write_bytes(made.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "notes.key").write_bytes(secret)
    return directory / "notes.crt", directory / "notes.key"


@pytest.fixture
def notes(kubectl: Kubectl, kubeconfig: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The sample server, registered and available."""
    address = _own_address()
    certificate, key = _certificate(tmp_path, f"notes.{kubectl.namespace}.svc")
    authority = kubeconfig.parent / "etc" / "kubernetes" / "pki" / "front-proxy-ca.crt"
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE), "--host", address, "--cert", str(certificate), "--key", str(key),
         "--requestheader-client-ca-file", str(authority)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    port = int(process.stdout.readline())
    kubectl.apply(
        _object("v1", "Service", "notes", spec={"ports": [{"port": 443, "targetPort": port}]}),
        _object(
            "v1", "Endpoints", "notes", subsets=[{"addresses": [{"ip": address}], "ports": [{"port": port}]}]
        ),
        _api_service(kubectl.namespace, base64.b64encode(certificate.read_bytes()).decode()),
    )
    kubectl("wait", "--for=condition=Available", f"apiservice/{NAME}", "--timeout=20s")
    yield process
    kubectl("delete", "apiservice", NAME, "--ignore-not-found")
    process.kill()
    process.wait()
    process.stdout.close()


def _object(version: str, kind: str, name: str, **fields: Any) -> Obj:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def _api_service(namespace: str, authority: str) -> Obj:
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 100,
        "caBundle": authority,
        "service": {"namespace": namespace, "name": "notes", "port": 443},
    }
    return _object("apiregistration.k8s.io/v1", "APIService", NAME, spec=spec)


def _condition(kubectl: Kubectl) -> Obj:
    (condition,) = kubectl.get("apiservice", NAME)["status"]["conditions"]
    return dict(condition)


def test_objects_of_an_extension_server_are_like_any_others(kubectl: Kubectl, notes: Any) -> None:
    assert _condition(kubectl)["reason"] == "Passed"
    note = _object(f"{GROUP}/v1", "Note", "a", spec={"text": "hello"})
    assert "note.notes.example.com/a created" in kubectl("create", "-f", "-", stdin=json.dumps(note))
    found = kubectl.get("notes", "a")
    assert found["spec"] == {"text": "hello", "author": "kubernetes-super-admin"}
    assert kubectl("get", "nt", "-o", "name").strip() == "note.notes.example.com/a"
    assert "already exists" in kubectl.fails("create", "-f", "-", stdin=json.dumps(note))
    kubectl("delete", "note", "a", "--wait=false")
    assert "not found" in kubectl.fails("get", "note", "a")


def test_a_watch_goes_through_as_it_happens(kubectl: Kubectl, notes: Any) -> None:
    watch = kubectl.start("get", "notes", "--watch", "-o", "name")
    try:
        kubectl("create", "-f", "-", stdin=json.dumps(_object(f"{GROUP}/v1", "Note", "w")))
        assert watch.stdout is not None and watch.stdout.readline().strip() == "note.notes.example.com/w"
    finally:
        watch.kill()
        watch.communicate()


def test_an_extension_server_is_in_discovery_and_openapi(kubectl: Kubectl, notes: Any) -> None:
    groups = [g["name"] for g in json.loads(kubectl("get", "--raw", "/apis"))["groups"]]
    assert groups.index("discovery.k8s.io") < groups.index(GROUP)
    assert "notes.example.com/v1" in kubectl("api-resources", f"--api-group={GROUP}")
    assert "What it says." in kubectl("explain", "note.spec")
    whole = json.loads(kubectl("get", "--raw", "/openapi/v2"))
    assert "com.example.notes.v1.Note" in whole["definitions"]
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/notes/{{name}}" in whole["paths"]


def test_a_server_that_is_gone_is_told_as_unavailable(kubectl: Kubectl, notes: subprocess.Popen[str]) -> None:
    notes.kill()
    notes.wait()
    kubectl("annotate", "apiservice", NAME, "look=again")
    eventually(lambda: _condition(kubectl)["reason"] == "FailedDiscoveryCheck", "the check fails")
    assert "the server is currently unable to handle the request" in kubectl.fails("get", "notes.v1." + GROUP)
    kubectl("delete", "endpoints", "notes")
    eventually(lambda: _condition(kubectl)["reason"] == "EndpointsNotFound", "no endpoints")
    kubectl("delete", "service", "notes")
    eventually(lambda: _condition(kubectl)["reason"] == "ServiceNotFound", "no Service")


def test_what_the_server_serves_itself_has_local_api_services(kubectl: Kubectl) -> None:
    apps = kubectl.get("apiservice", "v1.apps")
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert apps["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    (condition,) = apps["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("True", "Local")
