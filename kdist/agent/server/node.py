"""The server of a node as its settings describe it: where it listens, its certificate, whom it asks."""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath

from kdist.agent.interfaces import Runtime
from kdist.agent.server import app
from kdist.agent.server.access import Access, Reviews
from kdist.config.agent import AgentSettings
from kdist.telemetry import log

_log = log.get(__name__)


def tls_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """The TLS of the node's port. ValueError for files that cannot be used."""
    try:
        return app.tls_context(certificate, key, client_ca)
    except OSError as error:  # ssl.SSLError among them
        raise ValueError(f"the serving certificate or the client CA cannot be used: {error}") from error


@contextlib.asynccontextmanager
async def serving(
    settings: AgentSettings,
    runtime: Runtime,
    reviews: Reviews,
    tls: ssl.SSLContext,
    *,
    healthy: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Serve while the block runs. OSError for a taken port."""
    shown = {k: str(v) for k, v in dataclasses.asdict(settings).items()}
    async with app.serve(
        runtime,
        Access(reviews, runtime.node_name),
        address=settings.address,
        port=settings.port,
        tls=tls,
        root=settings.root_dir,
        configuration=shown,
        healthy=healthy,
    ):
        _log.info("serving", address=settings.address, port=settings.port)
        yield


def serving_certificate(settings: AgentSettings, addresses: tuple[str, ...]) -> tuple[Path, Path]:
    """The certificate's and the key's file; a node that was given none makes its own, anew at every start."""
    if settings.tls_cert_file is not None and settings.tls_private_key_file is not None:
        return settings.tls_cert_file, settings.tls_private_key_file
    # Imported when needed: most nodes are given a certificate, and all of them pay for what is loaded.
    from kdist.pki import issue
    from kdist.pki.plan import AuthoritySpec, LeafSpec

    directory = settings.root_dir / "pki"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{settings.node_name}-ca"
    authority = issue.create_authority(AuthoritySpec(name, name, PurePosixPath(directory)))
    leaf = LeafSpec(
        "kubelet-server",
        name,
        settings.node_name,
        None,
        server=True,
        client=False,
        hosts=(settings.node_name, *addresses),
    )
    pair = issue.issue(leaf, authority)
    certificate, key = directory / "kubelet.crt", directory / "kubelet.key"
    certificate.write_bytes(pair.certificate + authority.certificate)
    key.touch(mode=0o600)
    key.write_bytes(pair.key)
    return certificate, key
