"""A key management plug-in (KMS v2) of few lines, behind a real Unix socket: AES-GCM keys by id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc.aio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kdist.storage.encryption import kms_pb2

_METHODS = {
    "Status": kms_pb2.StatusRequest,
    "Encrypt": kms_pb2.EncryptRequest,
    "Decrypt": kms_pb2.DecryptRequest,
}


class KmsPlugin:
    """Serves while the block runs. ``health`` and ``key_id`` may be changed; ``asked`` counts the calls."""

    def __init__(self, socket: Path) -> None:
        self.endpoint = f"unix://{socket}"
        self.health, self.version, self.key_id = "ok", "v2", "key-1"
        self.keys = {"key-1": os.urandom(32), "key-2": os.urandom(32)}
        self.asked = dict.fromkeys(_METHODS, 0)

    async def __aenter__(self) -> KmsPlugin:
        self._server = grpc.aio.server()
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(self, name),
                request_deserializer=request.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, request in _METHODS.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers),)
        )
        self._server.add_insecure_port(self.endpoint)
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)

    async def Status(self, _: Any, context: Any) -> Any:
        self.asked["Status"] += 1
        return kms_pb2.StatusResponse(version=self.version, healthz=self.health, key_id=self.key_id)

    async def Encrypt(self, request: Any, context: Any) -> Any:
        self.asked["Encrypt"] += 1
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self.keys[self.key_id]).encrypt(nonce, request.plaintext, None)
        return kms_pb2.EncryptResponse(
            ciphertext=sealed, key_id=self.key_id, annotations={"note.kms.example.com": b"n"}
        )

    async def Decrypt(self, request: Any, context: Any) -> Any:
        self.asked["Decrypt"] += 1
        key = self.keys.get(request.key_id)
        if key is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no key {request.key_id}")
            raise AssertionError("unreachable")
        assert request.annotations == {"note.kms.example.com": b"n"}
        sealed = request.ciphertext
        return kms_pb2.DecryptResponse(plaintext=AESGCM(key).decrypt(sealed[:12], sealed[12:], None))
