"""The key pair of service-account tokens, and its public half as OpenID Connect publishes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from kdist.apiserver.ports import Obj
from kdist.pki.jws import PrivateKey, PublicKey, algorithm, key_id, load_private, load_public

__all__ = ["KeySet", "algorithm", "discovery_document", "key_id", "unverified"]


@dataclass
class KeySet:
    """The signing key and every public key whose signatures are believed (old ones during a rotation).

    ``public`` is never changed, only exchanged: who keeps verdicts can tell by its identity that they are old.
    """

    signing: PrivateKey
    public: dict[str, PublicKey]

    def take(self, other: KeySet) -> None:
        """Become another set."""
        self.signing, self.public = other.signing, other.public

    @classmethod
    def of(cls, signing: PrivateKey, public: Iterable[PublicKey] = ()) -> KeySet:
        """A set that believes its own signing key too."""
        keys = [signing.public_key(), *public]
        return cls(signing, {key_id(k): k for k in keys})

    @classmethod
    def from_files(cls, signing: Path, public: Iterable[Path] = ()) -> KeySet:
        """Load PEM files, which may hold several public keys; a private key stands for its public one.

        OSError, ValueError.
        """
        return cls.of(load_private(signing), [key for path in public for key in load_public(path)])

    def sign(self, claims: Obj) -> str:
        """A compact JWS of the claims."""
        public = self.signing.public_key()
        return jwt.encode(claims, self.signing, algorithm(public), headers={"kid": key_id(public)})

    def candidates(self, kid: str | None) -> list[PublicKey]:
        """The keys that may have made a signature: the named one, or all when none is named."""
        if kid is None:
            return list(self.public.values())
        return [self.public[kid]] if kid in self.public else []

    def jwks(self) -> Obj:
        """The JSON Web Key Set of /openid/v1/jwks."""
        return {"keys": [_jwk(kid, key) for kid, key in self.public.items()]}


def _jwk(kid: str, key: PublicKey) -> Obj:
    body: dict[str, Any]
    if isinstance(key, rsa.RSAPublicKey):
        body = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    else:
        body = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    body.pop("key_ops", None)
    return {"use": "sig", "kid": kid, "alg": algorithm(key), **body}


def discovery_document(issuer: str, jwks_uri: str) -> Obj:
    """The body of /.well-known/openid-configuration."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "ES384", "ES512"],
    }


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What a JSON web token says of itself: header and claims, whoever signed it. None when it is none."""
    try:
        return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
