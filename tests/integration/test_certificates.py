"""kubectl, certificates and tokens: requests are signed, cluster-info is, Secrets get their tokens."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.conftest import Kubectl, eventually


def _request(name: str, *organizations: str) -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return key, base64.b64encode(pem).decode()


def _csr(name: str, request: str, signer: str, *usages: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {"request": request, "signerName": signer, "usages": list(usages), **spec},
    }


def _kubeconfig(kubectl: Kubectl, certificate: str, key: ec.EllipticCurvePrivateKey) -> str:
    """The admin's kubeconfig with another user."""
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    document["users"][0]["user"] = {
        "client-certificate-data": certificate,
        "client-key-data": base64.b64encode(pem).decode(),
    }
    return yaml.safe_dump(document)


def _certificate(kubectl: Kubectl, name: str) -> str:
    def issued() -> str:
        found: str = kubectl.get("csr", name).get("status", {}).get("certificate", "")
        return found

    return str(eventually(issued, f"a certificate for {name}"))


def test_an_approved_request_becomes_a_user(kubectl: Kubectl, tmp_path: Any) -> None:
    key, request = _request("jane", "dev")
    name = f"{kubectl.namespace}-jane"
    kubectl.apply(
        _csr(name, request, "kubernetes.io/kube-apiserver-client", "client auth", expirationSeconds=3600)
    )
    kubectl("certificate", "approve", name)
    certificate = _certificate(kubectl, name)
    loaded = x509.load_pem_x509_certificate(base64.b64decode(certificate))
    assert loaded.not_valid_after_utc < datetime.now(UTC) + timedelta(hours=2)
    path = tmp_path / "jane.kubeconfig"
    path.write_text(_kubeconfig(kubectl, certificate, key))
    told = json.loads(kubectl("--kubeconfig", str(path), "auth", "whoami", "-o", "json"))
    assert told["status"]["userInfo"]["username"] == "jane"
    assert told["status"]["userInfo"]["groups"] == ["dev", "system:authenticated"]


def test_a_request_against_its_signers_rules_fails_with_the_reason(kubectl: Kubectl) -> None:
    _, request = _request("jane")
    name = f"{kubectl.namespace}-odd"
    kubectl.apply(_csr(name, request, "kubernetes.io/kube-apiserver-client", "client auth", "server auth"))
    kubectl("certificate", "approve", name)

    def failed() -> Any:
        conditions = kubectl.get("csr", name)["status"]["conditions"]
        return [c for c in conditions if c["type"] == "Failed"]

    found = eventually(failed, "the condition Failed")
    assert found[0]["reason"] == "SignerValidationFailure"
    assert found[0]["message"] == "invalid usage for client certificate: server auth"


def test_a_node_joins_with_a_bootstrap_token(kubectl: Kubectl, tmp_path: Any) -> None:
    ends = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "stringData": {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "expiration": ends,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
        },
    }
    info = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": "clusters: []"},
    }
    replace(kubectl, namespace="kube-system").apply(secret)
    replace(kubectl, namespace="kube-public").apply(info)
    for role in ("node-bootstrapper", "certificates.k8s.io:certificatesigningrequests:nodeclient"):
        name = f"test-{role.rpartition(':')[2]}"
        kubectl("create", "clusterrolebinding", name, f"--clusterrole=system:{role}",
                "--group=system:bootstrappers")  # fmt: skip

    def signature() -> Any:
        return kubectl.get("cm", "cluster-info", "-n", "kube-public")["data"].get("jws-kubeconfig-abcdef")

    assert eventually(signature, "the signature of cluster-info").count("..") == 1
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": "abcdef.0123456789abcdef"}
    path = tmp_path / "bootstrap.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    _, request = _request("system:node:new", "system:nodes")
    signer = "kubernetes.io/kube-apiserver-client-kubelet"
    made = _csr("node-new", request, signer, "digital signature", "client auth")
    kubectl("--kubeconfig", str(path), "create", "-f", "-", stdin=json.dumps(made))
    assert _certificate(kubectl, "node-new")
    condition = kubectl.get("csr", "node-new")["status"]["conditions"][0]
    assert condition["reason"] == "AutoApproved"
    expired = {**secret, "stringData": {"expiration": "2020-01-01T00:00:00Z"}}
    replace(kubectl, namespace="kube-system").apply(expired)

    def gone() -> bool:
        done = kubectl.run(("get", "secret", "bootstrap-token-abcdef", "-n", "kube-system"))
        return "NotFound" in done.stderr and signature() is None

    eventually(gone, "the expired token and its signature are gone")


def test_a_token_secret_is_filled_used_and_dies_with_its_account(kubectl: Kubectl, tmp_path: Any) -> None:
    kubectl("create", "serviceaccount", "bot")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "bot-token", "annotations": {"kubernetes.io/service-account.name": "bot"}},
    }
    kubectl.apply(secret)
    token = eventually(
        lambda: (kubectl.get("secret", "bot-token").get("data") or {}).get("token"), "a token in the Secret"
    )
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": base64.b64decode(token).decode()}
    path = tmp_path / "bot.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    told = json.loads(kubectl("--kubeconfig", str(path), "auth", "whoami", "-o", "json"))
    assert told["status"]["userInfo"]["username"] == f"system:serviceaccount:{kubectl.namespace}:bot"
    used = "kubernetes.io/legacy-token-last-used"
    eventually(
        lambda: used in (kubectl.get("secret", "bot-token")["metadata"].get("labels") or {}), "the day of use"
    )
    kubectl("label", "secret", "bot-token", "kubernetes.io/legacy-token-invalid-since=2026-01-01")
    refused = kubectl.run(("--kubeconfig", str(path), "auth", "whoami"))
    assert "Unauthorized" in refused.stderr or "must be logged in" in refused.stderr
    kubectl("delete", "serviceaccount", "bot")
    eventually(lambda: "NotFound" in kubectl.run(("get", "secret", "bot-token")).stderr, "the Secret is gone")
