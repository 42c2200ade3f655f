"""Values whose keys a key management plug-in keeps (KMS v2): a seed of our own, sealed by the plug-in.

The plug-in is asked to seal a random seed when the server starts and whenever it has another key; every value is
encrypted by AES-GCM with a key of its own that is derived from the seed. With the value stands the sealed seed; a
server that does not know it asks the plug-in once and remembers it for a day. Formats are upstream's.

Asking takes time, reading and writing values do not: :class:`EncryptedStorage` calls :meth:`KmsProvider.prepare`
before it reads, and :meth:`KmsProvider.watch` has to run beside it.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from google.protobuf.message import DecodeError

from kdist.storage.encryption import kms_pb2
from kdist.storage.encryption.ciphers import GCM_NONCE, AesGcm, Cipher, Undecipherable
from kdist.storage.encryption.transformers import ENCRYPTED, Plain, PluginError
from kdist.telemetry import log
from kdist.telemetry.series import Distributions, exponential

if TYPE_CHECKING:
    import grpc.aio

_log = log.get(__name__)
VERSIONS = ("v2", "v2beta1")
HEALTHY_SECONDS, FAILING_SECONDS = 60.0, 10.0  # between two questions about the status
WRITE_SECONDS = 180.0  # a seed may be used for so long after the plug-in was last seen healthy
KNOWN_SECONDS = 24 * 3600.0  # how long a seed that nobody reads with is remembered
SEED = INFO = 32
_KEY_ID_LIMIT = _SEALED_LIMIT = 1024
_ANNOTATIONS_LIMIT = 32 * 1024
_SEEDED, _DIRECT = 1, 0
# A plug-in that restarts is found again within the time of one call.
_BACKOFF = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+")
_SERVICE = "/v2.KeyManagementService/"
_LATENCY = Distributions(
    "apiserver_envelope_encryption_kms_operations_latency_seconds",
    "Seconds that plug-ins take to answer.",
    ("provider_name", "method_name", "grpc_status_code"),
    bounds=exponential(0.0001, 2, 20),
    alpha=True,
)


class Seeded:
    """Encrypts every value with a key of its own, derived from a seed; see :class:`Cipher`."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def _aead(self, info: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(SHA256(), 32, info).derive(self._seed))

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """What to store: what the key is derived from, nonce, sealed text."""
        info, nonce = os.urandom(INFO), os.urandom(GCM_NONCE)
        return info + nonce + self._aead(info).encrypt(nonce, plain, context)

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """The plain value. Raises Undecipherable."""
        if len(data) < INFO + GCM_NONCE:
            raise Undecipherable("the stored data was shorter than the required size")
        info, nonce = data[:INFO], data[INFO : INFO + GCM_NONCE]
        try:
            return self._aead(info).decrypt(nonce, data[INFO + GCM_NONCE :], context)
        except InvalidTag as error:
            raise Undecipherable("cipher: message authentication failed") from error


class Plugin:
    """A plug-in behind its Unix socket. Connects when it is first asked, so after any fork."""

    def __init__(self, name: str, endpoint: str, timeout: float) -> None:
        self.name = name
        self._endpoint, self._timeout = endpoint, timeout
        self._channel: grpc.aio.Channel | None = None

    async def status(self) -> kms_pb2.StatusResponse:
        """Its version, health and present key. PluginError when any of them is not as it has to be."""
        answer: kms_pb2.StatusResponse = await self._ask(
            "Status", kms_pb2.StatusRequest(), kms_pb2.StatusResponse
        )
        if answer.version not in VERSIONS:
            raise PluginError(f"expected KMS API version v2, got {answer.version!r}")
        if answer.healthz != "ok":
            raise PluginError(f"expected healthz status to be ok, got {answer.healthz!r}")
        _check_key_id(answer.key_id)
        return answer

    async def encrypt(self, plain: bytes) -> kms_pb2.EncryptResponse:
        """The plain text sealed. PluginError."""
        request = kms_pb2.EncryptRequest(plaintext=plain, uid=str(uuid.uuid4()))
        answer: kms_pb2.EncryptResponse = await self._ask("Encrypt", request, kms_pb2.EncryptResponse)
        _check_key_id(answer.key_id)
        _check_sealed(answer.ciphertext, answer.annotations)
        return answer

    async def decrypt(self, sealed: bytes, key_id: str, annotations: dict[str, bytes]) -> bytes:
        """What was sealed. PluginError."""
        request = kms_pb2.DecryptRequest(
            ciphertext=sealed, uid=str(uuid.uuid4()), key_id=key_id, annotations=annotations
        )
        answer: kms_pb2.DecryptResponse = await self._ask("Decrypt", request, kms_pb2.DecryptResponse)
        return answer.plaintext

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        import grpc.aio  # only a server with plug-ins needs it

        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._endpoint, options=_BACKOFF)
        call = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        begun, code = time.monotonic(), "OK"
        try:
            return await call(request, timeout=self._timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise PluginError(f"{method} of {self._endpoint}: {code}: {error.details()}") from error
        finally:
            _LATENCY.at(self.name, method, code).observe(time.monotonic() - begun)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            await self._channel.close(None)


def _check_key_id(key_id: str) -> None:
    if not key_id:
        raise PluginError("keyID is empty")
    if len(key_id.encode()) > _KEY_ID_LIMIT:
        raise PluginError(
            f"keyID is {len(key_id.encode())} bytes, which exceeds the max size of {_KEY_ID_LIMIT}"
        )


def _check_sealed(sealed: bytes, annotations: Any) -> None:
    if not 0 < len(sealed) <= _SEALED_LIMIT:
        raise PluginError(f"encrypted DEK source is {len(sealed)} bytes, must be 1 to {_SEALED_LIMIT}")
    for key in annotations:
        if not _DOMAIN.fullmatch(key):
            raise PluginError(f"annotation key {key!r} is no fully qualified domain name")
    size = sum(len(key.encode()) + len(value) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        raise PluginError(f"annotations are {size} bytes, which exceeds the max size of {_ANNOTATIONS_LIMIT}")


@dataclass(frozen=True, slots=True)
class _Writing:
    """The seed in use. ``frame`` is what stands with every value, all but the value."""

    cipher: Cipher
    key_id: str
    frame: bytes
    until: float


class KmsProvider:
    """A provider of version 2; see :class:`kdist.storage.encryption.transformers.Provider`."""

    def __init__(self, plugin: Plugin, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.plugin = plugin
        self.prefix = ENCRYPTED + b"kms:v2:%b:" % plugin.name.encode()
        self._clock = clock
        self._writing: _Writing | None = None
        self._failure: str | None = "the plug-in was not asked yet"
        # Ciphers by the sealed seed and what goes with it, and when each was used last.
        self._known: dict[bytes, tuple[Cipher, float]] = {}
        self._failed: dict[bytes, str] = {}

    # ----- values

    def write(self, plain: bytes, context: bytes) -> bytes:
        """See the protocol. Raises Undecipherable when the plug-in was not healthy for too long."""
        writing = self._writing
        if writing is None or self._clock() > writing.until:
            raise Undecipherable(f"kms plug-in {self.plugin.name}: {self._failure or 'its key expired'}")
        data = kms_pb2.EncryptedObject(encryptedData=writing.cipher.encrypt(plain, context))
        return self.prefix + data.SerializeToString() + writing.frame

    def read(self, data: bytes, context: bytes) -> Plain:
        """See the protocol."""
        value = self._parsed(data)
        at = _identity(value)
        found = self._known.get(at)
        if found is None:
            told = self._failed.get(at, "its key was not asked for")
            raise Undecipherable(f"failed to decrypt DEK, error: {told}")
        cipher, _ = found
        self._known[at] = (cipher, self._clock())
        outdated = self._writing is None or value.keyID != self._writing.key_id
        direct = value.encryptedDEKSourceType == _DIRECT
        return Plain(cipher.decrypt(value.encryptedData, context), outdated or direct)

    def knows(self, data: bytes) -> bool:
        """Whether a value can be read without asking the plug-in; one that is broken is told of by reading."""
        try:
            return _identity(self._parsed(data)) in self._known
        except Undecipherable:
            return True

    async def prepare(self, data: bytes) -> None:
        """Ask for the key of a value, so that it can be read; what goes wrong is told by reading."""
        value = self._parsed(data)
        at = _identity(value)
        try:
            key = await self.plugin.decrypt(value.encryptedDEKSource, value.keyID, dict(value.annotations))
            seeded = value.encryptedDEKSourceType == _SEEDED
            self._known[at] = (Seeded(key) if seeded else AesGcm(key), self._clock())
            self._failed.pop(at, None)
        except (PluginError, ValueError) as error:
            self._failed[at] = str(error)

    def _parsed(self, data: bytes) -> kms_pb2.EncryptedObject:
        try:
            return kms_pb2.EncryptedObject.FromString(data[len(self.prefix) :])
        except DecodeError as error:
            raise Undecipherable("the stored data is no encrypted object") from error

    # ----- the plug-in

    @property
    def failure(self) -> str | None:
        """Why values cannot be written, or None."""
        return self._failure

    async def refresh(self) -> None:
        """Ask for the status; take a new seed when the plug-in has another key. PluginError."""
        try:
            status = await self.plugin.status()
            writing = self._writing
            if writing is None or writing.key_id != status.key_id:
                await self._take_seed(status.key_id)
            else:
                self._writing = _Writing(writing.cipher, writing.key_id, writing.frame, self._expiry())
        except PluginError as error:
            self._failure = str(error)
            raise
        self._failure = None

    async def _take_seed(self, key_id: str) -> None:
        seed = os.urandom(SEED)
        sealed = await self.plugin.encrypt(seed)
        if sealed.key_id != key_id:
            raise PluginError("the plug-in's status and its answer name different keys; they may be changing")
        frame = kms_pb2.EncryptedObject(
            keyID=sealed.key_id,
            encryptedDEKSource=sealed.ciphertext,
            annotations=dict(sealed.annotations),
            encryptedDEKSourceType=_SEEDED,
        )
        cipher = Seeded(seed)
        self._known[_identity(frame)] = (cipher, self._clock())
        self._writing = _Writing(cipher, key_id, frame.SerializeToString(), self._expiry())
        _log.info("a new seed is in use", provider=self.plugin.name)

    def _expiry(self) -> float:
        return self._clock() + WRITE_SECONDS

    async def watch(self, recovered: Callable[[], Any]) -> None:
        """Follow the plug-in's status until cancelled; ``recovered`` is awaited when it is healthy again."""
        while True:
            failed = self._failure is not None
            try:
                await self.refresh()
                if failed:
                    await recovered()
            except PluginError as error:
                _log.warning(
                    "a key management plug-in is not healthy", provider=self.plugin.name, error=str(error)
                )
            self._forget()
            await asyncio.sleep(FAILING_SECONDS if self._failure is not None else HEALTHY_SECONDS)

    def _forget(self) -> None:
        oldest = self._clock() - KNOWN_SECONDS
        for at in [at for at, (_, used) in self._known.items() if used < oldest]:
            del self._known[at]


def _identity(value: kms_pb2.EncryptedObject) -> bytes:
    """What makes the key of a value: all but its data."""
    rest = kms_pb2.EncryptedObject(
        keyID=value.keyID,
        encryptedDEKSource=value.encryptedDEKSource,
        annotations=dict(value.annotations),
        encryptedDEKSourceType=value.encryptedDEKSourceType,
    )
    return rest.SerializeToString(deterministic=True)
