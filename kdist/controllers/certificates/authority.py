"""The authority that signs requests: subject and names are the request's, all else is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from kdist.pki.plan import BACKDATE

SHORT = timedelta(hours=8)  # shorter lives do not pay for the backdate
LEAST = timedelta(minutes=10)

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class CannotSign(ValueError):
    """The request cannot be signed, now or ever; the message says why."""


@dataclass(frozen=True)
class Authority:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """Read PEM files. OSError, or ValueError when they are not what they should be."""
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key}: only RSA and EC keys can sign certificates")
        signer = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        if signer.public_key() != loaded.public_key():  # one of them is being replaced, or they never matched
            raise ValueError(f"{key} is not the key of the first certificate in {certificate}")
        return cls(signer, loaded)

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        usages: Iterable[str],
        life: timedelta,
        now: datetime,
    ) -> bytes:
        """The certificate as PEM. Raises CannotSign."""
        if not request.is_signature_valid:
            raise CannotSign("unable to verify certificate request signature")
        begins, ends = self._validity(life, now)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension, critical in self._extensions(request, usages):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _validity(self, life: timedelta, now: datetime) -> tuple[datetime, datetime]:
        last = self.certificate.not_valid_after_utc
        if now >= last:
            raise CannotSign(f"the signer has expired: NotAfter={last:%Y-%m-%d %H:%M:%S} UTC")
        ends = now + life if life < SHORT else now + life - BACKDATE
        return now - BACKDATE, min(ends, last)

    def _extensions(
        self, request: x509.CertificateSigningRequest, usages: Iterable[str]
    ) -> Iterable[tuple[x509.ExtensionType, bool]]:
        key_usage, extended = key_usages(usages)
        if key_usage is not None:
            yield key_usage, True
        if extended is not None:
            yield extended, False
        yield x509.BasicConstraints(ca=False, path_length=None), True
        public = self.certificate.public_key()
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False  # type: ignore[arg-type]
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return
        yield names.value, False


def key_usages(usages: Iterable[str]) -> tuple[x509.KeyUsage | None, x509.ExtendedKeyUsage | None]:
    """The extensions of the API's usages. Raises CannotSign for words it does not know."""
    asked = list(usages)
    unknown = [usage for usage in asked if usage not in _KEY_USAGES and usage not in _EXTENDED]
    if unknown:
        raise CannotSign("unrecognized usage values: [" + " ".join(f'"{usage}"' for usage in unknown) + "]")
    bits = {_KEY_USAGES[usage] for usage in asked if usage in _KEY_USAGES}
    extended = list(dict.fromkeys(_EXTENDED[usage] for usage in asked if usage in _EXTENDED))
    key_usage = None
    if bits:
        if "key_agreement" not in bits:  # these two refine key agreement and mean nothing without
            bits -= {"encipher_only", "decipher_only"}
        key_usage = x509.KeyUsage(**{bit: bit in bits for bit in _KEY_USAGES.values()})
    return key_usage, x509.ExtendedKeyUsage(extended) if extended else None


def life_of(asked_seconds: int | None, longest: timedelta) -> timedelta:
    """How long a certificate lives: as asked, within ten minutes and the signer's longest."""
    if asked_seconds is None:
        return longest
    return max(LEAST, min(timedelta(seconds=asked_seconds), longest))
