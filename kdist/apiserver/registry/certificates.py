"""CertificateSigningRequests: made by users, decided through ``approval``, issued through ``status``."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names

_LEGACY = "kubernetes.io/legacy-unknown"
#: What a certificate may be asked for, in the words of the API.
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_DECISIONS = ("Approved", "Denied")
_FINAL = (*_DECISIONS, "Failed")
_CONDITIONS = "status.conditions"
_PEM_BLOCK = re.compile(rb"-----BEGIN ([^\n-]+)-----\s*\n(.*?)-----END \1-----", re.S)


class CertificateSigningRequestStrategy(Strategy):
    """CertificateSigningRequests."""

    name_rule = staticmethod(names.path_segment)
    checks_required = False
    resets: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("spec",), "status": ("status.conditions",)}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """The spec is for life; what an update says about it is not heard."""
        super().prepare_update(new, old)
        keep(new, old, "spec")

    def check(self, obj: Obj) -> list[Cause]:
        """The request is PEM; it lives ten minutes at least."""
        spec = obj.get("spec") or {}
        found: list[Cause] = []
        request = base64.b64decode(spec.get("request") or "")
        if b"BEGIN CERTIFICATE REQUEST" not in request:
            told = "PEM block type must be CERTIFICATE REQUEST"
            found.append(causes.invalid("spec.request", list(request[:64]), told))
        found += _signer(spec.get("signerName") or "", "spec.signerName")
        found += _usages(spec.get("usages") or [])
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            told = "may not specify a duration less than 600 seconds (10 minutes)"
            found.append(causes.invalid("spec.expirationSeconds", seconds, told))
        return found

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``approval`` writes conditions and nothing else, ``status`` all but the decisions among them."""
        self.prepare_status_update(new, old)
        status, before = new.setdefault("status", {}), old.get("status") or {}
        if subresource == "approval":
            new["status"] = {**before}
            keep(new["status"], status, "conditions")
        else:
            _keep_decisions(status, before)
        _stamp(_conditions(new), _conditions(old))

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[Cause]:
        """Conditions of known states, none taken back, and decided by ``approval`` alone."""
        found = super().validate_subresource_update(subresource, new, old)
        found += _check_conditions(_conditions(new))
        found += _check_change(new, old, decides=subresource == "approval")
        certificate, issued = meta.get(old, "status.certificate"), meta.get(new, "status.certificate")
        if issued and issued != certificate:
            found += _check_certificate(base64.b64decode(issued))
        if certificate and issued != certificate:
            told = "updates may not modify existing certificate content"
            found.append(causes.forbidden("status.certificate", told))
        return found

    def check_create(self, obj: Obj) -> list[Cause]:
        """The signer of before there were names of signers takes no new requests."""
        if meta.get(obj, "spec.signerName") != _LEGACY:
            return []
        told = "the legacy signerName is not allowed via this API version"
        return [causes.invalid("spec.signerName", _LEGACY, told)]

    def fields(self, obj: Obj) -> dict[str, str]:
        """By signer, too."""
        return {**super().fields(obj), "spec.signerName": meta.get(obj, "spec.signerName", "")}


def _check_certificate(pem: bytes) -> Iterator[Cause]:
    """PEM blocks of certificates and no others; text between them is a comment."""
    from cryptography import x509

    field, shown = "status.certificate", "<certificate data>"
    blocks = _PEM_BLOCK.findall(pem)
    if not blocks:
        yield causes.invalid(field, shown, "must contain at least one CERTIFICATE PEM block")
    for kind, content in blocks:
        if kind != b"CERTIFICATE":
            told = f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode(errors="replace")}"'
        elif b":" in content:
            told = "no PEM block headers are permitted"
        else:
            try:
                x509.load_der_x509_certificate(base64.b64decode(content))
                continue
            except ValueError:
                told = "x509: malformed certificate"
        yield causes.invalid(field, shown, told)
        return


def _signer(name: str, field: str) -> Iterator[Cause]:
    """A domain of at least two labels, and a path below it."""
    if not name:
        yield causes.required(field)
        return
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        told = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield causes.invalid(field, name, told)
        return
    yield from (causes.invalid(field, domain, c) for c in names.dns_subdomain(domain))
    if "." not in domain:
        told = "should be a domain with at least two segments separated by dots"
        yield causes.invalid(field, domain, told)
    yield from (causes.invalid(field, path, c) for c in names.dns_subdomain(path))


def _usages(usages: list[str]) -> Iterator[Cause]:
    if not usages:
        yield causes.required("spec.usages")
    for at, usage in enumerate(usages):
        if usage not in USAGES:
            yield causes.not_supported(f"spec.usages[{at}]", usage, USAGES)
        if usage in usages[:at]:
            yield causes.duplicate(f"spec.usages[{at}]", usage)


def _conditions(request: Obj) -> list[Obj]:
    found: list[Obj] = (request.get("status") or {}).get("conditions") or []
    return found


def _of_type(request: Obj, kind: str) -> list[Obj]:
    return [c for c in _conditions(request) if c.get("type") == kind]


def _keep_decisions(status: Obj, before: Obj) -> None:
    """Write the decisions as they were where they are; one too many or too few is left to be refused."""
    conditions = status.get("conditions") or []
    for kind in _DECISIONS:
        places = [at for at, c in enumerate(conditions) if c.get("type") == kind]
        known = _of_type({"status": before}, kind)
        if len(places) == len(known):
            for at, condition in zip(places, known, strict=True):
                conditions[at] = dict(condition)


def _stamp(conditions: list[Obj], before: list[Obj]) -> None:
    """Times for conditions that came without; the transition's stays while the state does."""
    began = {(c.get("type"), c.get("status")): c.get("lastTransitionTime") for c in reversed(before)}
    for condition in conditions:
        known = began.get((condition.get("type"), condition.get("status")))
        fill(condition, lastUpdateTime=meta.now(), lastTransitionTime=known or meta.now())


def _check_conditions(conditions: list[Obj]) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, condition in enumerate(conditions):
        where, kind, state = f"{_CONDITIONS}[{at}]", condition.get("type") or "", condition.get("status")
        states = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        if not kind:
            yield causes.required(f"{where}.type")
        if not state:
            yield causes.required(f"{where}.status")
        elif state not in states:
            yield causes.not_supported(f"{where}.status", state, states)
        if kind in _DECISIONS and seen & ({*_DECISIONS} - {kind}):
            told = "Approved and Denied conditions are mutually exclusive"
            yield causes.invalid(f"{where}.type", kind, told)
        if kind in seen:
            yield causes.duplicate(f"{where}.type", kind)
        seen.add(kind)


def _check_change(new: Obj, old: Obj, *, decides: bool) -> Iterator[Cause]:
    for kind in _FINAL:
        if len(_of_type(new, kind)) < len(_of_type(old, kind)):
            yield causes.forbidden(_CONDITIONS, f'updates may not remove a condition of type "{kind}"')
    for kind in () if decides else _DECISIONS:
        if len(_of_type(new, kind)) > len(_of_type(old, kind)):
            yield causes.forbidden(_CONDITIONS, f'updates may not add a condition of type "{kind}"')
