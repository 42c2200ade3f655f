"""Making and judging what a :mod:`kdist.pki.plan` names: keys, certificates, requests, kubeconfigs.

Works on PEM bytes in memory; :mod:`kdist.pki.files` puts them on disk. ECDSA P-256 everywhere except the
service-account pair, which is RSA 2048 because tokens are signed with RS256, which every verifier knows.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kdist.pki.plan import AUTHORITY_LIFETIME, BACKDATE, LEAF_LIFETIME, AuthoritySpec, LeafSpec, renewal


class RequestRefused(Exception):
    """A signing request asks for something else than the plan allows."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(pem: bytes) -> CertificateIssuerPrivateKeyTypes:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"unsupported kind of private key: {type(key).__name__}")
    return key


def new_key() -> bytes:
    """A fresh ECDSA P-256 private key."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def service_account_pair() -> tuple[bytes, bytes]:
    """A fresh RSA 2048 pair for service-account tokens: (private, public) PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _pem(key), public


def _name(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def create_authority(spec: AuthoritySpec, lifetime: datetime.timedelta = AUTHORITY_LIFETIME) -> Pair:
    """A fresh self-signed authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _authority(spec, key, _name(spec.common_name), key, lifetime)


def create_intermediate(spec: AuthoritySpec, root: Pair) -> Pair:
    """A fresh authority that another one vouches for."""
    issuer = x509.load_pem_x509_certificate(root.certificate)
    return _authority(
        spec, ec.generate_private_key(ec.SECP256R1()), issuer.subject, _load_key(root.key), AUTHORITY_LIFETIME
    )


def _authority(
    spec: AuthoritySpec,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: CertificateIssuerPrivateKeyTypes,
    lifetime: datetime.timedelta,
) -> Pair:
    now = _now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(spec.common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def request(leaf: LeafSpec, key: bytes) -> bytes:
    """A PEM signing request for ``leaf`` with the given private key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        _name(leaf.common_name, leaf.organizations)
    )
    if leaf.hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(_alternative_names(leaf.hosts)), critical=False
        )
    return builder.sign(_load_key(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(leaf: LeafSpec, csr: bytes, authority: Pair, lifetime: datetime.timedelta = LEAF_LIFETIME) -> bytes:
    """Sign a request as ``leaf`` says; the plan, not the request, decides names, usages and lifetime.

    The first certificate of ``authority`` signs. One that others vouch for follows its leaf, for clients that know
    only those. Raises :class:`RequestRefused` when the request's signature is bad, its subject is not the plan's, or
    the authority has expired.
    """
    asked = x509.load_pem_x509_csr(csr)
    if not asked.is_signature_valid:
        raise RequestRefused(f"{leaf.name}: the request's signature is invalid")
    if asked.subject != _name(leaf.common_name, leaf.organizations):
        raise RequestRefused(
            f"{leaf.name}: subject {asked.subject.rfc4514_string()} is not {leaf.common_name}"
        )
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.server else []
    usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client else []
    now = _now()
    if now >= issuer.not_valid_after_utc:
        raise RequestRefused(
            f"{leaf.name}: the authority {leaf.authority} ended on {issuer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            f"exchange it: kdist pki rotate --authority {leaf.authority}"
        )
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(issuer.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]  # our authorities are EC or RSA
            critical=False,
        )
    )
    if leaf.hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(_alternative_names(leaf.hosts)), critical=False
        )
    signed = builder.sign(_load_key(authority.key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return (
        signed
        if issuer.subject == issuer.issuer
        else signed + issuer.public_bytes(serialization.Encoding.PEM)
    )


def issue(leaf: LeafSpec, authority: Pair) -> Pair:
    """Key and certificate in one step, for a process that holds the authority itself."""
    key = new_key()
    return Pair(sign(leaf, request(leaf, key), authority), key)


def fault(
    leaf: LeafSpec,
    pair: Pair,
    authority: bytes,
    *,
    now: datetime.datetime | None = None,
    renew_issued_before: datetime.datetime | None = None,
) -> str | None:
    """Why an existing certificate does not serve for ``leaf`` any more, or None when it does.

    ``authority`` is a bundle whose first certificate signs. With ``renew_issued_before`` older ones do not serve.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = _load_key(pair.key)
        issuer = x509.load_pem_x509_certificate(authority)
    except ValueError as error:
        return f"unreadable: {error}"
    if certificate.public_key() != key.public_key():
        return "certificate and key do not belong together"
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return f"not issued by the present authority {leaf.authority}"
    if certificate.subject != _name(leaf.common_name, leaf.organizations):
        return f"subject is {certificate.subject.rfc4514_string()}"
    if missing := set(leaf.hosts) - _hosts_of(certificate):
        return f"does not name {', '.join(sorted(missing))}"
    by_agent = leaf.combined is not None
    return _age_fault(certificate, issuer, now or _now(), renew_issued_before, renewed_elsewhere=by_agent)


def _age_fault(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime.datetime,
    renew_issued_before: datetime.datetime | None,
    *,
    renewed_elsewhere: bool,
) -> str | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if renew_issued_before is not None and begin + BACKDATE < renew_issued_before:
        return "renewal was asked for"
    if now < (end if renewed_elsewhere else renewal(begin, end)):
        return None
    if end >= issuer.not_valid_after_utc > now:  # a new one would not last any longer
        return None
    if now >= end:
        return f"expired on {end:%Y-%m-%d %H:%M} UTC"
    return f"expires on {end:%Y-%m-%d %H:%M} UTC"


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(a) for a in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def by_file(path: str) -> dict[str, str]:
    """The user of a kubeconfig whose certificate and key are in a file that changes."""
    return {"client-certificate": path, "client-key": path}


def kubeconfig(
    cluster_name: str,
    user: str,
    servers: tuple[str, ...],
    authority: bytes,
    credentials: Pair | dict[str, str],
) -> bytes:
    """A kubeconfig with the authority inline, and a pair too; other credentials are the user's entry as it is.

    Further API servers go into the ``kdist.io/servers`` extension.
    """
    if isinstance(credentials, Pair):
        pair = credentials
        credentials = {
            "client-certificate-data": _data(pair.certificate),
            "client-key-data": _data(pair.key),
        }
    cluster: dict[str, object] = {"server": servers[0], "certificate-authority-data": _data(authority)}
    if len(servers) > 1:
        cluster["extensions"] = [{"name": "kdist.io/servers", "extension": {"servers": list(servers)}}]
    context = f"{user}@{cluster_name}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": cluster_name, "user": user}}],
        "current-context": context,
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def bundle(pem: bytes) -> list[bytes]:
    """The certificates of a bundle, one by one. ValueError when one cannot be read."""
    encoding = serialization.Encoding.PEM
    return [one.public_bytes(encoding) for one in x509.load_pem_x509_certificates(pem)]


def split(pem: bytes) -> Pair:
    """Certificate and key of one file. ValueError when one of them is missing."""
    blocks = re.finditer(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n?", pem, re.S)
    found = {block[1].rpartition(b" ")[2]: block[0] for block in blocks}
    if b"CERTIFICATE" not in found or b"KEY" not in found:
        raise ValueError("the file does not hold a certificate and its key")
    return Pair(found[b"CERTIFICATE"], found[b"KEY"])


def pair_of_kubeconfig(text: bytes) -> Pair:
    """The client certificate and key inside a kubeconfig of ours. ValueError when there is none."""
    try:
        user = yaml.safe_load(text)["users"][0]["user"]
        return Pair(
            base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"])
        )
    except (KeyError, IndexError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"no client certificate in the kubeconfig: {error!r}") from error


def token_of_kubeconfig(text: bytes) -> str:
    """The token inside a kubeconfig of ours; empty when there is none."""
    try:
        return str(yaml.safe_load(text)["users"][0]["user"].get("token") or "")
    except (KeyError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        return ""
