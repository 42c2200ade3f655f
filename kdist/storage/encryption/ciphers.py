"""The ciphers of one key each: what stands in storage after the prefix that names provider and key.

Formats are upstream's: AES-GCM is nonce (12 bytes) and sealed text, bound to the storage key; AES-CBC is IV and
PKCS#7-padded text, which is not authenticated; secretbox is nonce (24 bytes) and XSalsa20-Poly1305.
"""

from __future__ import annotations

import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as Primitive
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

GCM_NONCE = 12
AES_BLOCK = 16
SECRETBOX_NONCE = 24
_TOO_SHORT = "the stored data was shorter than the required size"


class Undecipherable(Exception):
    """The value cannot be read with this key."""


class Cipher(Protocol):
    """Encrypts and decrypts with one key. ``context`` is the storage key of the value."""

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """What to store after the prefix."""

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """The plain value. Raises Undecipherable."""


class AesGcm:
    """AES in Galois/Counter mode: a value copied to another storage key is refused there."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol."""
        nonce = os.urandom(GCM_NONCE)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """See the protocol."""
        if len(data) < GCM_NONCE:
            raise Undecipherable(_TOO_SHORT)
        try:
            return self._aead.decrypt(data[:GCM_NONCE], data[GCM_NONCE:], context)
        except InvalidTag as error:
            raise Undecipherable("cipher: message authentication failed") from error


class AesCbc:
    """AES in cipher block chaining mode, for content that was written with it."""

    def __init__(self, key: bytes) -> None:
        self._key = algorithms.AES(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol."""
        iv = os.urandom(AES_BLOCK)
        padder = PKCS7(AES_BLOCK * 8).padder()
        encryptor = Primitive(self._key, modes.CBC(iv)).encryptor()
        return iv + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """See the protocol."""
        if len(data) < AES_BLOCK:
            raise Undecipherable(_TOO_SHORT)
        if len(data) % AES_BLOCK:
            raise Undecipherable("the stored data is not a multiple of the block size")
        decryptor = Primitive(self._key, modes.CBC(data[:AES_BLOCK])).decryptor()
        unpadder = PKCS7(AES_BLOCK * 8).unpadder()
        try:
            padded = decryptor.update(data[AES_BLOCK:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise Undecipherable("invalid padding on input") from error


class Secretbox:
    """XSalsa20 and Poly1305."""

    def __init__(self, key: bytes) -> None:
        from nacl.secret import SecretBox  # only a cluster that uses it pays for libsodium

        self._box = SecretBox(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol."""
        return bytes(self._box.encrypt(plain, os.urandom(SECRETBOX_NONCE)))

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """See the protocol."""
        from nacl.exceptions import CryptoError

        if len(data) < SECRETBOX_NONCE:
            raise Undecipherable(_TOO_SHORT)
        try:
            return self._box.decrypt(data)
        except (CryptoError, ValueError) as error:
            raise Undecipherable("the value was not made with this key, or was changed since") from error
