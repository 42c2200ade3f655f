"""Certificate requests: who gets one, what it says, how long it and its request live."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kdist.config.controller_manager import ControllerManagerSettings
from kdist.controllers.certificates import request as requests
from kdist.controllers.certificates import serving
from kdist.controllers.certificates.approver import permissions
from kdist.controllers.certificates.authority import Authority, CannotSign, key_usages, life_of
from kdist.controllers.certificates.cleaner import due
from kdist.controllers.certificates.signer import files
from kdist.lifecycle.join import trust

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CLIENT = ["digital signature", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]
NODE = {"name": "system:node:w1", "organization": "system:nodes"}


def pem(name: str, organization: str = "", names: tuple[x509.GeneralName, ...] = ()) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def csr(signer: str, usages: list[str], request: bytes, username: str = "", **status: Any) -> dict[str, Any]:
    spec = {
        "signerName": signer,
        "usages": usages,
        "request": base64.b64encode(request).decode(),
        "username": username,
    }
    metadata = {"name": "r", "creationTimestamp": NOW.isoformat().replace("+00:00", "Z")}
    return {"metadata": metadata, "spec": spec, "status": status}


def faulted(signer: str, usages: list[str], request: bytes) -> str:
    made = csr(signer, usages, request)
    return requests.fault(signer, requests.parse(made), requests.usages(made))


@pytest.fixture(scope="module")
def authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1000))
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def test_a_node_may_renew_its_own_certificate_and_a_bootstrapper_ask_for_one() -> None:
    own = csr(requests.KUBELET_CLIENT, CLIENT, pem(**NODE), username="system:node:w1")
    assert permissions(own, requests.parse(own)) == ["selfnodeclient", "nodeclient"]
    other = csr(requests.KUBELET_CLIENT, CLIENT, pem(**NODE), username="system:bootstrap:abcdef")
    assert permissions(other, requests.parse(other)) == ["nodeclient"]


def test_nothing_but_a_nodes_client_certificate_is_approved() -> None:
    for signer, usages, request in (
        (requests.KUBELET_SERVING, SERVING, pem(**NODE, names=(x509.DNSName("w1"),))),
        (requests.KUBELET_CLIENT, [*CLIENT, "server auth"], pem(**NODE)),
        (requests.KUBELET_CLIENT, CLIENT, pem("jane", "system:nodes")),
        (requests.KUBELET_CLIENT, CLIENT, pem("system:node:w1", "system:masters")),
        (requests.KUBE_APISERVER_CLIENT, CLIENT, pem(**NODE)),
    ):
        made = csr(signer, usages, request)
        assert permissions(made, requests.parse(made)) == []


@pytest.mark.parametrize(
    ("signer", "usages", "request_", "told"),
    [
        (requests.KUBELET_CLIENT, CLIENT, pem(**NODE), ""),
        (requests.KUBELET_CLIENT, [*CLIENT, "key encipherment"], pem(**NODE), ""),
        (
            requests.KUBELET_CLIENT,
            CLIENT,
            pem(**NODE, names=(x509.DNSName("w"),)),
            "DNS subjectAltNames are not",
        ),
        (
            requests.KUBELET_CLIENT,
            SERVING,
            pem(**NODE),
            "usages did not match [client auth digital signature",
        ),
        (requests.KUBELET_SERVING, SERVING, pem(**NODE, names=(x509.DNSName("w"),)), ""),
        (requests.KUBELET_SERVING, SERVING, pem(**NODE), "DNS or IP subjectAltName is required"),
        (
            requests.KUBELET_SERVING,
            SERVING,
            pem("w1", "system:nodes", (x509.DNSName("w"),)),
            "subject common name",
        ),
        (requests.KUBE_APISERVER_CLIENT, ["client auth"], pem("jane"), ""),
        (requests.KUBE_APISERVER_CLIENT, ["digital signature"], pem("jane"), "missing required usage"),
        (
            requests.KUBE_APISERVER_CLIENT,
            ["client auth", "server auth"],
            pem("jane"),
            "invalid usage for client",
        ),
        (requests.LEGACY_UNKNOWN, ["code signing"], pem("anybody"), ""),
    ],
)
def test_each_signer_has_its_rules(signer: str, usages: list[str], request_: bytes, told: str) -> None:
    found = faulted(signer, usages, request_)
    assert found.startswith(told) if told else found == ""


def test_a_certificate_has_the_requests_names_and_the_signers_rules(authority: Authority) -> None:
    request = x509.load_pem_x509_csr(pem("jane", "dev", (x509.DNSName("jane.example"),)))
    made = authority.sign(request, CLIENT, timedelta(days=365), NOW)
    certificate = x509.load_pem_x509_certificate(made)
    assert certificate.subject == request.subject
    assert certificate.issuer == authority.certificate.subject
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=365) - timedelta(minutes=5)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_short_life_is_not_shortened_and_none_outlives_its_authority(authority: Authority) -> None:
    request = x509.load_pem_x509_csr(pem("jane"))
    short = x509.load_pem_x509_certificate(authority.sign(request, CLIENT, timedelta(hours=1), NOW))
    assert short.not_valid_after_utc == NOW + timedelta(hours=1)
    long = x509.load_pem_x509_certificate(authority.sign(request, CLIENT, timedelta(days=5000), NOW))
    assert long.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(CannotSign, match="the signer has expired"):
        authority.sign(request, CLIENT, timedelta(days=1), NOW + timedelta(days=2000))


def test_unknown_usages_are_refused() -> None:
    with pytest.raises(CannotSign, match='unrecognized usage values: \\["time travel"\\]'):
        key_usages(["client auth", "time travel"])


def test_a_life_is_as_asked_within_limits() -> None:
    year = timedelta(days=365)
    assert life_of(None, year) == year
    assert life_of(3600, year) == timedelta(hours=1)
    assert life_of(1, year) == timedelta(minutes=10)
    assert life_of(10**9, year) == year


def test_requests_go_when_they_have_served() -> None:
    request = pem("jane")

    def condition(kind: str) -> list[dict[str, str]]:
        return [{"type": kind, "status": "True", "lastUpdateTime": "2026-11-21T12:00:00Z"}]

    def due_of(**status: Any) -> datetime | None:
        return due(csr(requests.LEGACY_UNKNOWN, CLIENT, request, **status), NOW)

    assert due_of() == NOW + timedelta(hours=24)
    assert due_of(conditions=condition("Denied")) == NOW + timedelta(hours=1)
    assert due_of(conditions=condition("Failed")) == NOW + timedelta(hours=1)
    assert due_of(conditions=condition("Approved")) is None
    issued = base64.b64encode(b"not a certificate").decode()
    assert due_of(conditions=condition("Approved"), certificate=issued) == NOW + timedelta(hours=1)


def test_an_expired_certificate_goes_at_once(authority: Authority) -> None:
    made = authority.sign(
        x509.load_pem_x509_csr(pem("j")), CLIENT, timedelta(hours=1), NOW - timedelta(days=1)
    )
    approved = [{"type": "Approved", "status": "True", "lastUpdateTime": "2026-11-21T12:00:00Z"}]
    status = {"conditions": approved, "certificate": base64.b64encode(made).decode()}
    assert due(csr(requests.LEGACY_UNKNOWN, CLIENT, pem("j"), **status), NOW) == NOW


def test_signers_take_the_common_files_or_their_own(tmp_path: Any) -> None:
    ca, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    common = ControllerManagerSettings(
        kubeconfig=tmp_path, cluster_signing_cert_file=ca, cluster_signing_key_file=key
    )
    assert set(files(common).values()) == {(ca, key)}
    assert len(files(common)) == 4
    own = ControllerManagerSettings(
        kubeconfig=tmp_path,
        cluster_signing_kubelet_serving_cert_file=ca,
        cluster_signing_kubelet_serving_key_file=key,
    )
    assert list(files(own)) == [requests.KUBELET_SERVING]
    lame = ControllerManagerSettings(kubeconfig=tmp_path, cluster_signing_cert_file=ca)
    with pytest.raises(ValueError, match="must be given together"):
        files(lame)


def node(name: str, *addresses: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"addresses": [{"address": a} for a in (name, *addresses)]}}


def serving_fault(*names: str, subject: str = "system:node:w1", taken: frozenset[str] = frozenset()) -> str:
    alternative = tuple(x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names)
    parsed = x509.load_pem_x509_csr(pem(subject, "system:nodes", alternative))
    return serving.fault(parsed, SERVING, node("w1", "10.0.0.9"), taken)


def test_a_node_gets_a_serving_certificate_for_its_own_name_and_addresses() -> None:
    assert serving_fault("w1", "10.0.0.9") == ""


def test_a_node_gets_none_for_what_is_not_its_own() -> None:
    assert serving_fault("w1", "10.0.0.10") == "10.0.0.10 is no address of node w1"
    assert serving_fault("kubernetes.default") == "kubernetes.default is no address of node w1"
    assert serving_fault("w1", subject="system:node:w2") == "its subject is system:node:w2, and w1 asks"
    assert serving_fault() == "DNS or IP subjectAltName is required"


def test_a_node_gets_none_for_an_address_that_somebody_else_has_too() -> None:
    told = "10.0.0.9 belongs to another node, to a Service or to the API servers"
    assert serving_fault("w1", "10.0.0.9", taken=frozenset({"10.0.0.9"})) == told


def test_addresses_of_other_nodes_services_and_the_virtual_one_are_taken() -> None:
    service = {
        "spec": {"clusterIPs": ["10.96.0.1"], "externalIPs": ["192.0.2.7"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}},
    }
    info = trust.cluster_info(b"ca", ["https://10.0.0.1:6443"], "https://10.0.0.100:6443")
    found = serving.taken("w1", [node("w1", "10.0.0.9"), node("cp1", "10.0.0.1")], [service], info)
    assert found == {"cp1", "10.0.0.1", "10.96.0.1", "192.0.2.7", "192.0.2.8", "10.0.0.100"}
    assert serving.taken("w1", [], [], None) == frozenset()


def test_a_serving_certificate_is_approved_for_nodes_only() -> None:
    request = pem("system:node:w1", "system:nodes", (x509.DNSName("w1"),))
    asked = csr(requests.KUBELET_SERVING, SERVING, request, "system:node:w1")
    assert serving.node_of(asked) is None, "a user of that name outside system:nodes is no node"
    asked["spec"]["groups"] = ["system:nodes", "system:authenticated"]
    assert serving.node_of(asked) == "w1"
    asked["spec"]["username"] = "kubernetes-admin"
    assert serving.node_of(asked) is None
