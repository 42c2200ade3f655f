"""Users by client certificate: common name is the user, organizations are the groups.

The TLS layer has already verified the chain against the union of the client CAs; here it is decided which CA
it was, because a front proxy's CA must not be able to make users, nor the other way round.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a certificate of ours says: who, for how long, and whether it may be used by a client at all."""

    user: User | None
    node: str | None
    not_before: float  # seconds since the epoch, as is the next
    not_after: float
    for_clients: bool


class Authority:
    """A bundle of CA certificates and the leaves it vouches for.

    ``nodes`` is asked about every certificate of a node, by its name and the moment it begins; it raises Unauthorized.
    """

    def __init__(self, pem: bytes, nodes: Callable[[str, float], None] | None = None) -> None:
        self._nodes = nodes
        self._roots = x509.load_pem_x509_certificates(pem)
        # Connections live long and send many requests: the answer per certificate is kept.
        self._leaf = functools.lru_cache(maxsize=1024)(self._read)

    @classmethod
    def from_file(cls, path: Path, nodes: Callable[[str, float], None] | None = None) -> Authority:
        """Load a PEM bundle. OSError or ValueError when it cannot be read."""
        return cls(path.read_bytes(), nodes)

    def replace(self, pem: bytes) -> None:
        """Vouch for other CAs from now on. ValueError when there is none in the bundle."""
        self._roots = x509.load_pem_x509_certificates(pem)
        self._leaf.cache_clear()

    def _read(self, der: bytes) -> _Leaf | None:
        certificate = x509.load_der_x509_certificate(der)
        if not any(_issued_by(certificate, root) for root in self._roots):
            return None
        user = _subject(certificate)
        return _Leaf(
            user,
            user.node_name if user is not None else None,
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
            _for_clients(certificate),
        )

    def user(self, der: bytes) -> User | None:
        """The certificate's user, None when another CA issued it. Unauthorized when it is not valid now.

        Validity is checked per request: a connection may outlive its certificate.
        """
        leaf = self._leaf(der)
        if leaf is None:
            return None
        if not leaf.for_clients or not leaf.not_before <= time.time() <= leaf.not_after:
            raise Unauthorized("Unauthorized")
        if leaf.node is not None and self._nodes is not None:
            self._nodes(leaf.node, leaf.not_before)
        return leaf.user


def _subject(certificate: x509.Certificate) -> User | None:
    """Common name and organizations as a user who has authenticated; None without a common name."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        return None
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    credential = "X509SHA256=" + certificate.fingerprint(hashes.SHA256()).hex()
    return User(
        str(names[0].value),
        groups=tuple(str(o.value) for o in organizations),
        extra={"authentication.kubernetes.io/credential-id": (credential,)},
    ).authenticated()


def _issued_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):  # another issuer, or another kind of key
        return False
    return True


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages))
