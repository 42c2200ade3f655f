"""Where the API servers are and who we are: kubeconfig files and the service account of a pod.

A kubeconfig may name several API servers in an extension of its cluster
(``extensions: [{name: kdist.io/servers, extension: {servers: [...]}}]``); stock tools ignore it and use
``server``. The result is an :class:`Access`, which the transport turns into connections; :func:`following` and
:func:`in_cluster` give one that follows its files, so that new certificates, authorities and servers are used
without a restart.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdist.api import meta
from kdist.pki.following import Followed
from kdist.pki.serving import trusting

SERVERS_EXTENSION = "kdist.io/servers"
SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(ValueError):
    """The file is missing, cannot be read, or does not say what is needed; the text names the key."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the API servers. ``tls`` is None for plain HTTP; a token file is read again as it changes."""

    servers: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    token: str | None = None
    token_file: Path | None = None
    namespace: str = "default"
    files: tuple[Path, ...] = ()
    """What it was made of, but for the token file."""


def load(path: Path) -> Access:
    """The access that a kubeconfig's current context describes. Raises KubeconfigError."""
    import yaml

    try:
        document = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: not a mapping")
    try:
        access = _from_document(document, path.parent)
        return replace(access, files=(path, *access.files))
    except (KubeconfigError, OSError, ssl.SSLError, binascii.Error) as error:
        raise KubeconfigError(f"{path}: {error}") from error


def entry(text: str) -> tuple[str, tuple[str, ...]]:
    """The ``server`` of a kubeconfig that need not have user and context, such as cluster-info's, and all of its
    servers. Raises KubeconfigError."""
    import yaml

    try:
        cluster = yaml.safe_load(text)["clusters"][0]["cluster"]
        first, found = cluster.get("server") or "", _servers(cluster)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise KubeconfigError(f"not a kubeconfig with a cluster: {error!r}") from error
    if not found:
        raise KubeconfigError("clusters[0].cluster.server is missing")
    return first, found


def following(path: Path) -> Followed[Access]:
    """The access that a kubeconfig and the files it names describe, as they change. Raises KubeconfigError."""
    return Followed(lambda: load(path), lambda access: access.files)


def in_cluster() -> Followed[Access]:
    """The access of the pod's service account, as its files change. Raises KubeconfigError outside a pod."""
    return Followed(_in_cluster, (SERVICE_ACCOUNT_DIR / "ca.crt",))


def _in_cluster() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    try:
        tls = trusting((SERVICE_ACCOUNT_DIR / "ca.crt").read_text())
    except (OSError, ValueError) as error:
        raise KubeconfigError(f"{SERVICE_ACCOUNT_DIR}/ca.crt: {error}") from error
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Access((f"https://{authority}",), tls, token_file=SERVICE_ACCOUNT_DIR / "token")


def _from_document(document: dict[str, Any], base: Path) -> Access:
    current = document.get("current-context") or ""
    context = _named(document, "contexts", "context", current)
    cluster = _named(document, "clusters", "cluster", context.get("cluster") or "")
    user = _named(document, "users", "user", context["user"]) if context.get("user") else {}
    servers = _servers(cluster)
    if not servers:
        raise KubeconfigError(f"clusters[{context.get('cluster')}].cluster.server is missing")
    uses_tls = any(server.startswith("https:") for server in servers)
    token_file = user.get("tokenFile")
    return Access(
        servers,
        _tls(cluster, user, base) if uses_tls else None,
        token=user.get("token"),
        token_file=base / token_file if token_file else None,
        namespace=context.get("namespace") or "default",
        files=tuple(_named_files(cluster, user, base)) if uses_tls else (),
    )


def _named_files(cluster: dict[str, Any], user: dict[str, Any], base: Path) -> Iterator[Path]:
    for section, field in (
        (cluster, "certificate-authority"),
        (user, "client-certificate"),
        (user, "client-key"),
    ):
        if section.get(field) and not section.get(f"{field}-data"):
            yield base / section[field]


def _named(document: dict[str, Any], section: str, field: str, name: str) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            return entry.get(field) or {}
    raise KubeconfigError(f'{section}: there is no entry named "{name}"')


def _servers(cluster: dict[str, Any]) -> tuple[str, ...]:
    listed = [
        server
        for extension in cluster.get("extensions") or ()
        if extension.get("name") == SERVERS_EXTENSION
        for server in meta.get(extension, "extension.servers", ())
    ]
    found = listed or [cluster.get("server")]
    return tuple(server.rstrip("/") for server in found if server)


def _tls(cluster: dict[str, Any], user: dict[str, Any], base: Path) -> ssl.SSLContext:
    authority = _pem(cluster, "certificate-authority", base)
    context = trusting(authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _pem(user, "client-certificate", base), _pem(user, "client-key", base)
    if bool(certificate) != bool(key):
        raise KubeconfigError("client-certificate and client-key go together, but one of them is missing")
    if certificate and key:
        _load_chain(context, certificate, key)
    return context


def _pem(section: dict[str, Any], field: str, base: Path) -> bytes:
    """The content of ``FIELD-data`` or else of the file that FIELD names; empty when neither is given."""
    if inline := section.get(f"{field}-data"):
        return base64.b64decode(inline)
    return (base / section[field]).read_bytes() if section.get(field) else b""


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads certificates from files only: an unreadable-by-others one that lives for a moment.
    with tempfile.NamedTemporaryFile() as chain:
        # One file may hold both, as agents keep them; the leaf must not be sent twice.
        chain.write(certificate if certificate == key else certificate.rstrip() + b"\n" + key)
        chain.flush()
        context.load_cert_chain(chain.name)
