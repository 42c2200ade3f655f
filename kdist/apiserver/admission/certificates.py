"""Certificate signing requests: who asks is recorded, and signers are approved and used by permission."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.x509.oid import NameOID

from kdist.api import meta
from kdist.apiserver.admission.base import CREATE, UPDATE, Plugin, Request, targets
from kdist.apiserver.authn.user import MASTERS
from kdist.apiserver.authz.attributes import Attributes
from kdist.apiserver.authz.authorizer import Authorizer

GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateIdentity(Plugin):
    """Writes the asking user into a new request: whatever the client put there is not believed."""

    targets = targets("certificatesigningrequests", group=GROUP)
    operations = CREATE

    async def admit(self, request: Request) -> None:
        """Set username, uid, groups and extra."""
        spec = request.body["spec"]
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec.update(request.user.as_info())


class CertificateApproval(Plugin):
    """Approving takes the permission to ``approve`` the request's signer."""

    targets = targets("certificatesigningrequests/approval", group=GROUP)
    operations = UPDATE

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: Request) -> None:
        """Forbidden without it."""
        await self._authorizer.settle(_require, self._authorizer, request, "approve")


class CertificateSigning(Plugin):
    """Issuing takes the permission to ``sign`` for the request's signer."""

    targets = targets("certificatesigningrequests/status", group=GROUP)
    operations = UPDATE

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: Request) -> None:
        """Forbidden without it, when the certificate or the conditions change."""
        old, new = request.before.get("status") or {}, request.body.get("status") or {}
        if any(old.get(field) != new.get(field) for field in ("certificate", "conditions")):
            await self._authorizer.settle(_require, self._authorizer, request, "sign")


class CertificateSubjectRestriction(Plugin):
    """Nobody gets a client certificate of system:masters by asking the client signer."""

    targets = targets("certificatesigningrequests", group=GROUP)
    operations = CREATE

    async def validate(self, request: Request) -> None:
        """Forbidden when the request's subject has that group."""
        if meta.get(request.body, "spec.signerName") == CLIENT_SIGNER and MASTERS in _organizations(request):
            raise request.forbidden(f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


def _organizations(request: Request) -> list[str]:

    try:
        pem = base64.b64decode(meta.get(request.body, "spec.request", ""))
        subject = x509.load_pem_x509_csr(pem).subject
    except ValueError as error:
        raise request.forbidden(f"unable to parse csr: {error}") from error
    return [str(o.value) for o in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def _require(authorizer: Authorizer, request: Request, verb: str) -> None:
    """Permission for the signer itself or for all signers of its domain."""
    signer = meta.get(request.before, "spec.signerName", "")
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        wanted = Attributes(request.user, verb, GROUP, "v1", "signers", name=name)
        if authorizer.authorize(wanted).allowed:
            return
    raise request.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')
