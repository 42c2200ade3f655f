"""Has a host taken up the certificates and authorities that lie on it? The gate between phases of an exchange.

Looks at what is in use, not at what should be: which certificate each port shows, when etcd (which reads its
authorities once) was started, which bundle the pods see. Runs on the host.
"""

from __future__ import annotations

import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from kdist.lifecycle.processes import processes
from kdist.pki import plan, survey

TIMEOUT = 3.0
PODS_CA = "pods/*/volumes/kubernetes.io~projected/*/ca.crt"


@dataclass(frozen=True, slots=True)
class Port:
    """A server of this host and the authority that must have issued what it shows.

    ``certificate`` is the file it serves, None when the server keeps its own.
    """

    name: str
    port: int
    authority: Path
    certificate: Path | None


def ports(host: plan.Host, api_port: int, root: Path = Path("/")) -> tuple[Port, ...]:
    """The servers of a host."""
    pki = root / str(plan.PKI_DIR).lstrip("/")
    found = [Port("agent", 10250, pki / "ca.crt", None)]
    if host.control_plane:
        etcd = pki / "etcd"
        found += [
            Port("API server", api_port, pki / "ca.crt", pki / "apiserver.crt"),
            Port("etcd clients", 2379, etcd / "ca.crt", etcd / "server.crt"),
            Port("etcd peers", 2380, etcd / "ca.crt", etcd / "peer.crt"),
        ]
    return tuple(found)


def shown(address: str, port: int, client: tuple[Path, Path] | None) -> bytes:
    """The certificate (DER) that a server shows. OSError when none is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is judged, not believed
    if client is not None:
        context.load_cert_chain(*client)
    with (
        socket.create_connection((address, port), TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=address) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    if not found:
        raise OSError("no certificate was shown")
    return found


def answers(url: str) -> str | None:
    """Why a health endpoint is not content, or None."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whose it is was looked at before
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT, context=context) as answer:
            answer.read()
    except OSError as error:
        return f"{url}: {error}"
    return None


@dataclass(frozen=True, slots=True)
class Eyes:
    """How servers are looked at; tests have others."""

    show: Callable[[str, int, tuple[Path, Path] | None], bytes] = shown
    answers: Callable[[str], str | None] = answers


def unsettled(
    host: plan.Host,
    api_port: int,
    *,
    pods: bool = True,
    issued_before: float = 0,
    root: Path = Path("/"),
    eyes: Eyes = Eyes(),
) -> list[str]:
    """What on this host does not use yet what lies on it, or is not healthy; empty when all is well.

    ``pods``: whether the pods' view of the authorities counts, which follows within two minutes at most.
    ``issued_before``: certificates older than this (seconds since the epoch) are to be replaced.
    """
    return [
        *_old_ports(host, api_port, root, eyes),
        *(_control_plane(host, api_port, root, eyes) if host.control_plane else ()),
        *_old_leaves(root, issued_before),
        *(_old_pods(root) if pods else ()),
    ]


def _control_plane(host: plan.Host, api_port: int, root: Path, eyes: Eyes) -> Iterator[str]:
    yield from _old_etcd(root)
    at = f"[{host.address}]" if ":" in host.address else host.address
    for url in ("http://127.0.0.1:2381/health", f"https://{at}:{api_port}/readyz"):
        if told := eyes.answers(url):
            yield told


def _old_ports(host: plan.Host, api_port: int, root: Path, eyes: Eyes) -> Iterator[str]:
    etcd = root / str(plan.PKI_DIR).lstrip("/") / "etcd"
    client = (etcd / "healthcheck-client.crt", etcd / "healthcheck-client.key")
    for server in ports(host, api_port, root):
        try:
            told = _fault(
                server, eyes.show(host.address, server.port, client if "etcd" in server.name else None)
            )
        except OSError as error:
            told = str(error) or type(error).__name__
        if told:
            yield f"{server.name} (port {server.port}): {told}"


def _fault(server: Port, der: bytes) -> str | None:
    found = x509.load_der_x509_certificate(der)
    if server.certificate is not None:
        wanted = x509.load_pem_x509_certificates(server.certificate.read_bytes())[0]
        return None if found == wanted else f"does not show {server.certificate} yet"
    signer = x509.load_pem_x509_certificates(server.authority.read_bytes())[0]
    try:
        found.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return f"shows a certificate that the first authority in {server.authority} did not issue"
    return None


def _old_etcd(root: Path) -> Iterator[str]:
    """etcd reads certificates at every handshake, and its authorities when it starts."""
    bundle = root / str(plan.PKI_DIR).lstrip("/") / "etcd/ca.crt"
    started = max((process.started for process in processes(root) if process.name == "etcd"), default=0.0)
    if started < bundle.stat().st_mtime:
        yield "etcd was started before its authorities changed" if started else "etcd does not run"


def _old_leaves(root: Path, issued_before: float) -> Iterator[str]:
    found, unreadable = survey.look(root)
    for one in found:
        if one.authority or one.issuer == survey.OTHER:
            continue
        if one.previous:
            yield f"/{one.path} was issued by the previous authority {one.issuer}"
        elif one.not_before + plan.BACKDATE.total_seconds() < issued_before:
            yield f"/{one.path} is not renewed yet"
    for bad in unreadable:
        yield f"/{bad.path}: {bad.reason}"


def _old_pods(root: Path) -> Iterator[str]:
    bundle = (root / str(plan.PKI_DIR).lstrip("/") / "ca.crt").read_bytes()
    stale = []
    for path in (root / "var/lib/kubelet").glob(PODS_CA):
        try:
            if path.read_bytes() != bundle:
                stale.append(path.parts[path.parts.index("pods") + 1])
        except FileNotFoundError:
            continue  # its pod has ended
    if stale:
        yield f"{len(stale)} pods do not see the present authorities yet, such as {sorted(stale)[0]}"
