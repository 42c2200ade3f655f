"""Asking the cluster for a certificate: a CertificateSigningRequest, and the wait for its answer."""

from __future__ import annotations

import asyncio
import base64
from typing import Protocol

from kdist.agent.certificates import plan, x509
from kdist.agent.certificates.plan import Wanted
from kdist.api import meta
from kdist.api.kinds import CERTIFICATE_SIGNING_REQUESTS, Kind
from kdist.api.meta import Obj

# An approval is a matter of a fraction of a second; by a person, of hours.
POLLS = (0.2, 0.2, 0.3, 0.5, 0.5, 1.0)
SLOW_POLL = 5.0
# Then the request is made anew, with a new key.
PATIENCE_SECONDS = 900.0


class NotIssued(Exception):
    """The cluster said no, or nothing for a long time; the text says which."""


class Api(Protocol):
    """The two calls that this module makes."""

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        """Create and return. Raises the ApiError tree and Unreachable."""
        ...

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """Raises the ApiError tree and Unreachable."""
        ...


class Asking:
    """Asks for one certificate; the key outlives tries that came to nothing before the request was there."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._made: tuple[bytes, bytes] | None = None

    async def ask(self, api: Api) -> bytes:
        """Certificate and key as one PEM. Raises NotIssued, the ApiError tree and Unreachable."""
        if self._made is None:
            self._made = await x509.request(self._wanted)
        key, request = self._made
        csr = await api.create(CERTIFICATE_SIGNING_REQUESTS, _csr(self._wanted, request))
        self._made = None
        certificate = await _wait(api, csr)
        return certificate.rstrip() + b"\n" + key


def _csr(wanted: Wanted, request: bytes) -> Obj:
    spec = {
        "request": base64.b64encode(request).decode(),
        "signerName": wanted.signer,
        "usages": plan.usages(wanted),
    }
    return {"metadata": {"generateName": "csr-"}, "spec": spec}


async def _wait(api: Api, csr: Obj) -> bytes:
    name, waited = meta.name(csr), 0.0
    for pause in _pauses():
        if certificate := _issued(csr):
            return base64.b64decode(certificate)
        if waited > PATIENCE_SECONDS:
            break
        await asyncio.sleep(pause)
        waited += pause
        csr = await api.get(CERTIFICATE_SIGNING_REQUESTS, name)
    raise NotIssued(
        f"nobody approved {name}: `kubectl describe csr {name}`, `kubectl certificate approve {name}`"
    )


def _pauses() -> list[float]:
    return [*POLLS, *[SLOW_POLL] * (int(PATIENCE_SECONDS / SLOW_POLL) + 2)]


def _issued(csr: Obj) -> str:
    for condition in meta.get(csr, "status.conditions", ()):
        if condition.get("type") in ("Denied", "Failed"):
            told = condition.get("message") or condition.get("reason") or ""
            raise NotIssued(f"{meta.name(csr)} was {condition['type'].lower()}: {told}")
    issued: str = meta.get(csr, "status.certificate", "")
    return issued
