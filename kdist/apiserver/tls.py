"""The server's side of TLS: its certificate, reloaded when the file changes, and optional client certificates."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

from kdist.apiserver.selfsigned import serving_certificate
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry import log

_log = log.get(__name__)
RELOAD_SECONDS = 60.0


def server_context(settings: ApiServerSettings, addresses: list[str]) -> tuple[ssl.SSLContext, bytes]:
    """A context, and the PEM that clients can verify the server by. OSError or SSLError for bad files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # All suites of the default list are strong; the client knows which is cheap for it. OpenSSL as a server would
    # insist on AES-256, which costs both sides a tenth more on large lists than the AES-128 that Go clients ask for.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    if settings.tls_cert_file:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_private_key_file)
        certificate = settings.tls_cert_file.read_bytes()
    else:
        certificate = _load_generated(context, addresses)
    client_cas = [path for path in (settings.client_ca_file, settings.requestheader_client_ca_file) if path]
    for path in client_cas:
        context.load_verify_locations(path)
    if client_cas:
        context.verify_mode = ssl.CERT_OPTIONAL
    return context, certificate


def _load_generated(context: ssl.SSLContext, addresses: list[str]) -> bytes:
    certificate, key = serving_certificate(addresses)
    with tempfile.TemporaryDirectory(prefix="kdist-apiserver-") as directory:  # mode 0700
        cert_file, key_file = Path(directory, "tls.crt"), Path(directory, "tls.key")
        cert_file.write_bytes(certificate)
        key_file.write_bytes(key)
        context.load_cert_chain(cert_file, key_file)
    return certificate


async def keep_current(context: ssl.SSLContext, settings: ApiServerSettings) -> None:
    """Load the certificate and the client CAs again when their files change; new handshakes use them."""
    files = [
        path
        for path in (
            settings.tls_cert_file,
            settings.tls_private_key_file,
            settings.client_ca_file,
            settings.requestheader_client_ca_file,
        )
        if path
    ]
    seen = _stamps(files)
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        now = _stamps(files)
        if now == seen:
            continue
        try:
            if settings.tls_cert_file:
                context.load_cert_chain(settings.tls_cert_file, settings.tls_private_key_file)
            for path in (settings.client_ca_file, settings.requestheader_client_ca_file):
                if path:
                    context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:  # half-written: the next round finds it whole
            _log.warning("cannot load the new serving certificate", error=str(error))
            continue
        seen = now
        _log.info("loaded changed TLS files")


def _stamps(files: list[Path]) -> list[tuple[int, int]]:
    stamps = []
    for path in files:
        try:
            stat = path.stat()
        except FileNotFoundError:  # being replaced
            stamps.append((0, 0))
        else:
            stamps.append((stat.st_mtime_ns, stat.st_ino))
    return stamps
