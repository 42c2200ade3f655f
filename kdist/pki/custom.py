"""Authorities that the operator brings: are they fit to issue this cluster's certificates? Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kdist.pki import issue
from kdist.pki.issue import Pair

LEAST_RSA_BITS = 2048
# Less than this, and its leaves would end before anybody expects them to.
LEAST_LEFT = datetime.timedelta(days=30)


def faults(pair: Pair, now: datetime.datetime) -> list[str]:
    """Everything that is wrong with an authority; empty when it can be used. Keys are never shown."""
    try:
        certificates = x509.load_pem_x509_certificates(pair.certificate)
    except ValueError as error:
        return [f"the certificate cannot be read as PEM: {error}"]
    certificate = certificates[0]
    return [
        *_chain_faults(certificates),
        *_certificate_faults(certificate, now),
        *_key_faults(certificate, pair.key),
    ]


def authority(pem: bytes) -> bytes:
    """The authority's own certificate: the first of the file; its issuers may follow. ValueError for none."""
    return issue.bundle(pem)[0]


def _chain_faults(certificates: list[x509.Certificate]) -> Iterator[str]:
    """A file is the authority and those who vouch for it, each for the one before: nothing else can be meant."""
    for number, (one, issuer) in enumerate(itertools.pairwise(certificates), start=2):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            yield (
                f"certificate {number} of the file ({issuer.subject.rfc4514_string()}) did not issue the one before it "
                f"({one.subject.rfc4514_string()}): put the authority's own first and then its issuers, or it alone"
            )


def _certificate_faults(certificate: x509.Certificate, now: datetime.datetime) -> Iterator[str]:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        yield "basicConstraints do not say CA:TRUE, so no client accepts what it issues"
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None  # then nothing is excluded (RFC 5280, 4.2.1.3)
    if usage is not None and not usage.key_cert_sign:
        yield "keyUsage lacks keyCertSign"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        yield f"it is valid only from {begin:%Y-%m-%d %H:%M} UTC on"
    if now >= end:
        yield f"it ended on {end:%Y-%m-%d %H:%M} UTC"
    elif end - now < LEAST_LEFT:
        yield f"it ends on {end:%Y-%m-%d}, in less than {LEAST_LEFT.days} days"


def _key_faults(certificate: x509.Certificate, pem: bytes) -> Iterator[str]:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        yield "the key is encrypted: store it without a passphrase (ansible-vault keeps the file safe)"
        return
    except ValueError:
        yield "the key cannot be read as a PEM private key"
        return
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        yield f"keys of kind {type(key).__name__} are not supported: use RSA or ECDSA"
        return
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        yield f"an RSA key of {key.key_size} bits is too weak: {LEAST_RSA_BITS} is the least"
    if key.public_key() != certificate.public_key():
        yield "certificate and key do not belong together"
