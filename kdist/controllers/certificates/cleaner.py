"""Deletes requests that have served: decided an hour ago, waiting for a day, or with an expired certificate."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import CERTIFICATE_SIGNING_REQUESTS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller

DECIDED = timedelta(hours=1)
PENDING = timedelta(hours=24)


def due(csr: Obj, now: datetime) -> datetime | None:
    """When the request is to be deleted; None while it waits for its certificate."""
    status = csr.get("status") or {}
    conditions = status.get("conditions") or ()
    if not conditions:
        return meta.parse_time(csr["metadata"]["creationTimestamp"]) + PENDING
    certificate = status.get("certificate")
    times = []
    for condition in conditions:
        if condition.get("type") == "Approved" and certificate and _is_expired(certificate, now):
            return now
        ends = condition.get("type") in ("Denied", "Failed") or (
            condition.get("type") == "Approved" and certificate
        )
        if ends and condition.get("lastUpdateTime"):
            times.append(meta.parse_time(condition["lastUpdateTime"]) + DECIDED)
    return min(times, default=None)


def _is_expired(certificate: str, now: datetime) -> bool:
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc < now
    except ValueError:  # not ours to judge
        return False


class CertificateCleaner(Controller):
    """One key is one request."""

    name = "certificatesigningrequest-cleaner-controller"

    def setup(self) -> None:
        """Watch requests."""
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS, self.enqueue)

    async def reconcile(self, key: str) -> float | None:
        """Delete the request when its time has come; else look again then."""
        csr = self._requests.get(key)
        if csr is None or meta.is_deleting(csr):
            return None
        now = datetime.now(UTC)
        when = due(csr, now)
        if when is None:
            return None
        if when > now:
            return (when - now).total_seconds() + 1
        try:
            await self.client.delete(CERTIFICATE_SIGNING_REQUESTS, meta.name(csr), uid=meta.uid(csr))
        except NotFound:
            return None
        return None
