"""Who made a bundle: an Ed25519 signature of its manifest, which names every other file with its checksum.

Three files go together: ``manifest.json``, ``manifest.json.sig`` (the 64 bytes of the signature) and ``signer.pub``
(the public key as PEM). ``signer.pub`` only says which key to look for: whether that key is to be trusted is decided
with what the operator has (``trust``). A public key is written on one line as the body of its PEM form; openssl
reads and checks all three files.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from kdist.lifecycle.bundle.manifest import FILE, SIGNATURE, SIGNER, Manifest, content
from kdist.lifecycle.bundle.process import BundleError


@dataclass(frozen=True)
class Signed:
    """A bundle whose signature fits ``key``, the public key on one line."""

    manifest: Manifest
    key: str


def parse_key(text: str) -> Ed25519PublicKey:
    """A public key from its PEM form or from the one line that is its body. ValueError when it is none."""
    body = "".join(line for line in text.strip().splitlines() if not line.startswith("-----"))
    try:
        key = load_der_public_key(base64.b64decode(body, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(
            "is no Ed25519 public key; `kdist bundle keygen` prints the one that signs your bundles"
        )
    return key


def line_of(key: Ed25519PublicKey) -> str:
    """The key on one line."""
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def ensure_key(path: Path) -> tuple[Ed25519PrivateKey, bool]:
    """The private key at ``path``, and whether it was made just now. BundleError when the file holds none."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return _make(path), True
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{path} holds no unencrypted private key in PEM form: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(
            f"{path} holds another kind of key than Ed25519; `kdist bundle keygen --key FILE` makes one"
        )
    return key, False


def _make(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Exclusive: of two builds that begin at once, one makes the key and the other fails rather than sign with its own.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def sign(directory: Path, key: Ed25519PrivateKey) -> None:
    """Sign the manifest of the bundle as it is now."""
    public = key.public_key()
    (directory / SIGNER).write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (directory / SIGNATURE).write_bytes(key.sign(content(directory)))


def check(directory: Path, trusted: str | None = None) -> Signed:
    """The manifest, once its signature is known to fit; nothing of it is read before.

    ``trusted`` is the only key that may have signed; without it the one the bundle itself names is taken, which
    proves that the bundle is whole and not who made it. BundleError when the signature is missing, wrong or another's.
    """
    raw = content(directory)
    signer = _signer(directory)
    if trusted is not None and line_of(parse_key(trusted)) != signer:
        raise BundleError(
            f"{directory} is signed with the key {signer}, not with the trusted key {line_of(parse_key(trusted))}"
        )
    try:
        parse_key(signer).verify((directory / SIGNATURE).read_bytes(), raw)
    except FileNotFoundError as error:
        raise BundleError(f"{directory} is not signed: it has no {SIGNATURE}") from error
    except InvalidSignature as error:
        raise BundleError(
            f"{directory}: the signature in {SIGNATURE} does not fit {FILE}; one of them was altered after signing"
        ) from error
    return Signed(Manifest.parse(raw, directory / FILE), signer)


def _signer(directory: Path) -> str:
    path = directory / SIGNER
    try:
        return line_of(parse_key(path.read_text(errors="replace")))
    except FileNotFoundError as error:
        raise BundleError(f"{directory} is not signed: it has no {SIGNER}") from error
    except ValueError as error:
        raise BundleError(f"{path} {error}") from error
