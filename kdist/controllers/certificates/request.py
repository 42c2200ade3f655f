"""What a CertificateSigningRequest asks for, and whether it may be asked of a signer. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from kdist.api import meta
from kdist.api.meta import Obj

KUBE_APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"

_NODES = ["system:nodes"]
_NODE = "system:node:"
_CLIENT_USAGES = frozenset({"digital signature", "client auth"})
_SERVING_USAGES = frozenset({"digital signature", "server auth"})
_WITH_RSA = frozenset({"key encipherment"})


def parse(csr: Obj) -> x509.CertificateSigningRequest:
    """The PKCS#10 request. ValueError when it is none."""
    return x509.load_pem_x509_csr(base64.b64decode(csr["spec"]["request"]))


def usages(csr: Obj) -> frozenset[str]:
    """The key usages asked for."""
    return frozenset(meta.get(csr, "spec.usages", ()))


def condition(csr: Obj, kind: str) -> Obj | None:
    """A condition that is set."""
    for found in meta.get(csr, "status.conditions", ()):
        if found.get("type") == kind:
            condition: Obj = found
            return condition
    return None


def is_true(csr: Obj, kind: str) -> bool:
    """Whether a condition holds; one without a status does."""
    found = condition(csr, kind)
    return found is not None and found.get("status") in ("", None, "True")


def approved(csr: Obj, message: str) -> Obj:
    """The request as it is approved by a controller."""
    status = csr.get("status") or {}
    condition = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
    return {**csr, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def common_name(request: x509.CertificateSigningRequest) -> str:
    """The subject's common name, or the empty string."""
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def fault(signer: str, request: x509.CertificateSigningRequest, asked: Iterable[str]) -> str:
    """Why the signer must not sign the request; empty when it may."""
    wanted = frozenset(asked)
    if signer == KUBELET_CLIENT:
        return _kubelet_client_fault(request, wanted)
    if signer == KUBELET_SERVING:
        return _kubelet_serving_fault(request, wanted)
    if signer == KUBE_APISERVER_CLIENT:
        return _client_fault(wanted)
    return ""  # legacy-unknown never had a rule


def _client_fault(asked: frozenset[str]) -> str:
    for usage in sorted(asked - {"digital signature", "key encipherment", "client auth"}):
        return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in asked else "missing required usage for client certificate: client auth"


def _kubelet_client_fault(request: x509.CertificateSigningRequest, asked: frozenset[str]) -> str:
    if not _is_of_nodes(request):
        return "subject organization is not system:nodes"
    for kind, name in (
        (x509.DNSName, "DNS"),
        (x509.RFC822Name, "Email"),
        (x509.IPAddress, "IP"),
        (x509.UniformResourceIdentifier, "URI"),
    ):
        if _names(request, kind):
            return f"{name} subjectAltNames are not allowed"
    if not common_name(request).startswith(_NODE):
        return f"subject common name does not begin with {_NODE}"
    return _usage_fault(asked, _CLIENT_USAGES)


def _kubelet_serving_fault(request: x509.CertificateSigningRequest, asked: frozenset[str]) -> str:
    if not _is_of_nodes(request):
        return "subject organization is not system:nodes"
    if not _names(request, x509.DNSName) and not _names(request, x509.IPAddress):
        return "DNS or IP subjectAltName is required"
    if _names(request, x509.RFC822Name):
        return "Email subjectAltNames are not allowed"
    if _names(request, x509.UniformResourceIdentifier):
        return "URI subjectAltNames are not allowed"
    return _usage_fault(asked, _SERVING_USAGES) or (
        "" if common_name(request).startswith(_NODE) else f"subject common name does not begin with {_NODE}"
    )


def _usage_fault(asked: frozenset[str], required: frozenset[str]) -> str:
    """An RSA key also enciphers keys; others must not ask for it, and need not."""
    if asked in (required, required | _WITH_RSA):
        return ""
    return f"usages did not match [{' '.join(sorted(required | _WITH_RSA))}]"


def _is_of_nodes(request: x509.CertificateSigningRequest) -> bool:
    found = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [str(o.value) for o in found] == _NODES


def _names(request: x509.CertificateSigningRequest, kind: type[x509.GeneralName]) -> list[x509.GeneralName]:
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name for name in extension.value if isinstance(name, kind)]
