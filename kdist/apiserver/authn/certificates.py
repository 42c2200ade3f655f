"""Users by client certificate: common name is the user, organizations are the groups.

The TLS layer has already verified the chain against the union of the client CAs; here it is decided which CA
it was, because a front proxy's CA must not be able to make users, nor the other way round.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.headers import Scope
from kdist.apiserver.authn.user import User
from kdist.apiserver.ports import CLIENT_CERT


def peer_certificate(scope: Scope) -> bytes | None:
    """The DER certificate that the TLS layer put into the scope, if the client sent one."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    der: bytes | None = tls.get(CLIENT_CERT)
    return der


class Authority:
    """A bundle of CA certificates and the leaves it vouches for."""

    def __init__(self, pem: bytes) -> None:
        self._roots = x509.load_pem_x509_certificates(pem)
        # Connections live long and send many requests: the answer per certificate is kept.
        self.identify = functools.lru_cache(maxsize=1024)(self._identify)

    @classmethod
    def from_file(cls, path: Path) -> Authority:
        """Load a PEM bundle. OSError or ValueError when it cannot be read."""
        return cls(path.read_bytes())

    def _identify(self, der: bytes) -> x509.Certificate | None:
        certificate = x509.load_der_x509_certificate(der)
        return certificate if any(_issued_by(certificate, root) for root in self._roots) else None

    def user(self, der: bytes) -> User | None:
        """The certificate's user, None when another CA issued it. Unauthorized when it is not valid now."""
        certificate = self.identify(der)
        if certificate is None:
            return None
        _check(certificate)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not names:
            return None
        organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        credential = "X509SHA256=" + certificate.fingerprint(hashes.SHA256()).hex()
        return User(
            str(names[0].value),
            groups=tuple(str(o.value) for o in organizations),
            extra={"authentication.kubernetes.io/credential-id": (credential,)},
        )


def _issued_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):  # another issuer, or another kind of key
        return False
    return True


def _check(certificate: x509.Certificate) -> None:
    """Validity is checked per request: a connection may outlive its certificate."""
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Unauthorized("Unauthorized")
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise Unauthorized("Unauthorized")
