"""TLS of servers and clients whose certificates and authorities are exchanged while they run.

A context that listens cannot forget an authority, so each state of the files is a context of its own: the
listening one hands every handshake over to the context of today's files. Connections that are open stay.

An authority may be an intermediate of somebody else's: what a bundle names is trusted in itself, whoever issued it
(as Go does), because to trust its root would be to trust all others below that root too.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kdist.pki.following import Followed


def handing_over(followed: Followed[ssl.SSLContext], listening: ssl.SSLContext) -> ssl.SSLContext:
    """Make ``listening`` serve every handshake with the followed context.

    Protocol limits, and whether clients are asked for a certificate at all, stay its own.
    """

    def choose(handshake: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        handshake.context = followed.current()

    listening.sni_callback = choose  # OpenSSL calls it without a name as well
    return listening


def accept_clients(context: ssl.SSLContext, authorities: Iterable[Path]) -> None:
    """Let clients show certificates of ``authorities``, and no others; without one none is asked for."""
    for path in authorities:
        context.load_verify_locations(path)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_OPTIONAL


def server_context(
    prepare: Callable[[], ssl.SSLContext],
    certificate: Path,
    key: Path,
    client_authorities: Sequence[Path],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[ssl.SSLContext, Followed[ssl.SSLContext]]:
    """A listening context, and what it follows. ``prepare`` gives a context with everything but the files.

    OSError (ssl.SSLError too) for files that cannot be used at the start.
    """

    def make() -> ssl.SSLContext:
        context = prepare()
        context.load_cert_chain(certificate, key)
        accept_clients(context, client_authorities)
        return context

    followed = Followed(make, (certificate, key, *client_authorities), clock=clock)
    return handing_over(followed, make()), followed


def client_context(
    authority: Path | None, certificate: Path | None, key: Path | None, *, protocols: Sequence[str] = ()
) -> Followed[ssl.SSLContext]:
    """A client's TLS by files; without ``authority`` the system's are trusted. OSError as above."""

    def make() -> ssl.SSLContext:
        context = trusting(authority.read_text() if authority else None)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context

    return Followed(make, [path for path in (authority, certificate, key) if path])


def trusting(authorities: str | None) -> ssl.SSLContext:
    """A client context that believes a PEM bundle (None: the system's). ssl.SSLError for a bad one."""
    context = ssl.create_default_context(cadata=authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
