"""Whose certificate a CertificateSigningRequest asks for."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.x509.oid import NameOID

from kdist.api.meta import Obj


def common_name(csr: Obj) -> str:
    """The common name of the subject; empty when the request cannot be read."""
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(csr["spec"].get("request", "")))
    except ValueError:
        return ""
    found = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
