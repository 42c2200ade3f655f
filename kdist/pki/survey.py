"""Every certificate on a host: who issued it, until when it serves, and what is wrong with it.

Looks at what is there, whoever put it there: planned leaves, the agent's own certificates, authorities, a person's
kubeconfigs. Feeds the expiry report, the agent's metrics and the gates of an exchange of authorities.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from kdist.pki import plan

AGENT_DIR = "var/lib/kubelet/pki"
# Kept by the plan, not served by anybody: keys of requests that wait, authorities that are to come.
_LEFT_OUT = ("pending/", "-next.crt")
# Whoever issued it, when it was none of the host's authorities.
OTHER = "other"
WARN_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Times are seconds since the epoch; ``path`` is relative to the root of the host."""

    path: str
    subject: str
    issuer: str
    """Name of the authority that issued it (``ca``, ``etcd-ca``, ``front-proxy-ca``), or ``other``."""
    not_before: float
    not_after: float
    authority: bool
    """Whether it may issue others."""
    previous: bool
    """Whether it was issued by (or is) an authority that is trusted still and signs no more."""

    def days(self, now: float) -> int:
        """Whole days it has left; negative when it has ended."""
        return int((self.not_after - now) // 86400)

    def to_json(self) -> dict[str, Any]:
        """For Ansible and ``--output json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that should hold a certificate and does not; the reason names no secret."""

    path: str
    reason: str


def look(root: Path = Path("/")) -> tuple[list[Certificate], list[Unreadable]]:
    """Every certificate below ``root``, by path."""
    authorities = _authorities(root)
    found: list[Certificate] = []
    unreadable = []
    for path in _files(root):
        relative = str(path.relative_to(root))
        try:
            for pem in _pems(path):
                loaded = x509.load_pem_x509_certificates(pem)
                # Of a bundle of authorities every one counts, of a chain the leaf: the rest is in a bundle.
                for certificate in loaded if _is_authority(loaded[0]) else loaded[:1]:
                    found.append(_described(relative, certificate, authorities))
        except FileNotFoundError:
            continue  # replaced under our eyes
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            unreadable.append(Unreadable(relative, f"{type(error).__name__}: {error}"))
    return found, unreadable


def _files(root: Path) -> Iterator[Path]:
    kubernetes = root / str(plan.KUBERNETES_DIR).lstrip("/")
    agent = root / AGENT_DIR
    listed = [
        *kubernetes.rglob("*.crt"),
        *kubernetes.rglob("*.conf"),
        *agent.glob("*.crt"),
        *agent.glob("*.pem"),
    ]
    for path in sorted(set(listed)):
        if not any(part in str(path.relative_to(root)) for part in _LEFT_OUT) and not path.is_symlink():
            yield path


def _pems(path: Path) -> Iterator[bytes]:
    """Certificates of a PEM file, or those inline in a kubeconfig: a user's and nothing of its authorities."""
    content = path.read_bytes()
    if path.suffix != ".conf":
        yield content
        return
    document = yaml.safe_load(content)
    if not isinstance(document, dict):
        raise ValueError("no kubeconfig")
    for user in document.get("users") or ():
        if inline := user["user"].get("client-certificate-data"):
            yield base64.b64decode(inline)


def _authorities(root: Path) -> dict[str, list[x509.Certificate]]:
    """The bundles of this host by name; the first of each signs."""
    found = {}
    for spec in plan.AUTHORITIES:
        path = root / f"{spec.path}.crt".lstrip("/")
        try:
            found[spec.name] = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):  # a worker has one of them only; damage is told by `look`
            continue
    return found


def _described(
    path: str, certificate: x509.Certificate, authorities: Mapping[str, list[x509.Certificate]]
) -> Certificate:
    issuer, previous = OTHER, False
    for name, bundle in authorities.items():
        for at, authority in enumerate(bundle):
            if certificate == authority or _issued_by(certificate, authority):
                issuer, previous = name, at > 0
                break
    return Certificate(
        path,
        certificate.subject.rfc4514_string(),
        issuer,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        _is_authority(certificate),
        previous,
    )


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def near(certificates: Iterable[Certificate], now: float, days: int | None = None) -> list[Certificate]:
    """Those that end within ``days``, the nearest first.

    None: within 30 days, and a short-lived one in the last eighth of its life: its renewal, due in the last quarter,
    was missed.
    """

    def limit(one: Certificate) -> float:
        if days is not None:
            return days * 86400.0
        return min(WARN_DAYS * 86400.0, (one.not_after - one.not_before) / 8)

    return sorted((c for c in certificates if c.not_after - now < limit(c)), key=lambda c: c.not_after)
