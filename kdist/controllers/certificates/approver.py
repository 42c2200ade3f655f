"""Approves the client certificates of nodes: the first by bootstrap token, renewals by the node itself.

Who may is RBAC's to say: the permission to create ``certificatesigningrequests/nodeclient`` or ``/selfnodeclient``.
"""

from __future__ import annotations

from cryptography import x509

from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.certificates import request as requests
from kdist.telemetry import log

_log = log.get(__name__)
_SELF, _NODE = "selfnodeclient", "nodeclient"
_MESSAGES = {
    _SELF: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    _NODE: "Auto approving kubelet client certificate after SubjectAccessReview.",
}


def permissions(csr: Obj, parsed: x509.CertificateSigningRequest) -> list[str]:
    """The subresources of which one suffices; none when the request is not a node's."""
    if csr["spec"].get("signerName") != requests.KUBELET_CLIENT:
        return []
    if requests.fault(requests.KUBELET_CLIENT, parsed, requests.usages(csr)):
        return []
    own = csr["spec"].get("username") == requests.common_name(parsed)
    return [_SELF, _NODE] if own else [_NODE]


class CertificateApprover(Controller):
    """One key is one request."""

    name = "certificatesigningrequest-approving-controller"

    def setup(self) -> None:
        """Watch requests."""
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS, self.enqueue)

    async def reconcile(self, key: str) -> float | None:
        """Approve what may be approved; the rest waits for a person."""
        csr = self._requests.get(key)
        if csr is None or requests.condition(csr, "Approved") or requests.condition(csr, "Denied"):
            return None
        try:
            wanted = permissions(csr, requests.parse(csr))
        except ValueError as error:
            _log.warning("cannot parse a certificate signing request", name=key, error=str(error))
            return None
        for subresource in wanted:
            if await self._allowed(csr, subresource):
                await self._approve(csr, _MESSAGES[subresource])
                return None
        if wanted:
            _log.info("a node's request was recognized but is not allowed", name=key, tried=wanted)
        return None

    async def _allowed(self, csr: Obj, subresource: str) -> bool:
        spec = csr["spec"]
        asked = {
            "user": spec.get("username", ""),
            "uid": spec.get("uid", ""),
            "groups": spec.get("groups") or [],
            "extra": spec.get("extra") or {},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "version": "*",
                "resource": "certificatesigningrequests",
                "subresource": subresource,
                "verb": "create",
            },
        }
        review = await self.client.create(SUBJECT_ACCESS_REVIEWS, {"metadata": {}, "spec": asked})
        return bool(review["status"].get("allowed"))

    async def _approve(self, csr: Obj, message: str) -> None:
        try:
            changed = requests.approved(csr, message)
            await self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval")
        except (Conflict, NotFound):
            return  # the watch tells what is there now
