"""How tokens are signed, and what is signed by tokens: algorithms, key ids, detached signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
# The signature algorithm that goes with each curve (RFC 7518, 3.4).
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


_PUBLIC_BLOCK = re.compile(
    rb"-----BEGIN (?:RSA )?PUBLIC KEY-----.+?-----END (?:RSA )?PUBLIC KEY-----", re.DOTALL
)


def key_id(key: PublicKey) -> str:
    """The ``kid`` every verifier can compute: SHA-256 of the public key's DER, base64url, unpadded."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def algorithm(key: PublicKey) -> str:
    """The JWS algorithm of a key."""
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else _CURVES[key.curve.name]


def load_private(path: Path) -> PrivateKey:
    """A PEM key that can sign tokens. OSError, ValueError."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: only RSA and EC keys can sign service-account tokens")
    return key


def load_public(path: Path) -> list[PublicKey]:
    """The public keys of a PEM file, one after the other; a private key stands for its public one.

    OSError, ValueError.
    """
    pem = path.read_bytes()
    if b"PRIVATE KEY" in pem:
        return [load_private(path).public_key()]
    return public_keys(pem, str(path))


def public_keys(pem: bytes, where: str) -> list[PublicKey]:
    """The public keys of PEM text. ValueError when there is none, or one of another kind."""
    found: list[PublicKey] = []
    for block in _PUBLIC_BLOCK.findall(pem):
        key = serialization.load_pem_public_key(block)
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise ValueError(f"{where}: only RSA and EC keys can sign service-account tokens")
        found.append(key)
    if not found:
        raise ValueError(f"{where}: there is no public key in it")
    return found


def detached(content: str, key_id: str, secret: str) -> str:
    """A detached JWS (RFC 7515, appendix F) by HMAC-SHA256, as holders of a bootstrap token recompute it."""
    header = _unpadded(json.dumps({"alg": "HS256", "kid": key_id}, separators=(",", ":")).encode())
    signed = f"{header}.{_unpadded(content.encode())}".encode()
    return f"{header}..{_unpadded(hmac.digest(secret.encode(), signed, hashlib.sha256))}"


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
