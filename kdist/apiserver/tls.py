"""The server's side of TLS: its certificate and optional client certificates, both followed in their files."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from kdist.apiserver.selfsigned import serving_certificate
from kdist.config.apiserver import ApiServerSettings
from kdist.pki import serving
from kdist.pki.following import Followed


class ServerTls:
    """``context`` listens; ``certificate`` is the PEM that clients can verify the server by at the start."""

    def __init__(self, settings: ApiServerSettings, addresses: list[str]) -> None:
        """OSError or SSLError for bad files."""
        self._settings = settings
        self._generated = None if settings.tls_cert_file else serving_certificate(addresses)
        self._authorities = [
            path for path in (settings.client_ca_file, settings.requestheader_client_ca_file) if path
        ]
        own = [path for path in (settings.tls_cert_file, settings.tls_private_key_file) if path]
        self.followed: Followed[ssl.SSLContext] = Followed(self._make, [*own, *self._authorities])
        self.context = serving.handing_over(self.followed, self._make())
        cert_file = settings.tls_cert_file
        self.certificate = cert_file.read_bytes() if cert_file else self._generated_certificate()

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # All suites of the default list are strong; the client knows which is cheap for it. OpenSSL as a server
        # would insist on AES-256, which costs both sides a tenth more on large lists than AES-128.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        if self._generated is not None:
            _load(context, *self._generated)
        elif self._settings.tls_cert_file is not None:
            context.load_cert_chain(self._settings.tls_cert_file, self._settings.tls_private_key_file)
        serving.accept_clients(context, self._authorities)
        return context

    def _generated_certificate(self) -> bytes:
        assert self._generated is not None, "made where there is no file"
        return self._generated[0]


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="kdist-apiserver-") as directory:  # mode 0700
        cert_file, key_file = Path(directory, "tls.crt"), Path(directory, "tls.key")
        cert_file.write_bytes(certificate)
        key_file.write_bytes(key)
        context.load_cert_chain(cert_file, key_file)
