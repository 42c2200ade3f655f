"""Reading certificates and making requests, in a process that ends at once.

The agent needs this a few times a year; the library would cost every node eight MiB for good. The child reads one
JSON document from its standard input and writes one to its output; keys pass through pipes only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from kdist.agent.certificates.plan import Found, Wanted

if TYPE_CHECKING:
    from cryptography import x509

CHILD_SECONDS = 60.0


class Unusable(ValueError):
    """What was given is no certificate with its key; the text says why."""


async def read(pem: bytes, authorities: bytes = b"") -> Found:
    """What a file with certificate and key holds. Raises Unusable, also when the two do not belong together.

    ``authorities``: the bundle whose first one issues certificates now; empty: whoever issued it is right.
    """
    texts = [text.decode(errors="replace") for text in (pem, authorities)]
    told = await _child({"read": texts})
    hosts, begins, ends = tuple(told["hosts"]), told["not_before"], told["not_after"]
    return Found(told["common_name"], hosts, begins, ends, told["present"])


async def request(wanted: Wanted) -> tuple[bytes, bytes]:
    """A new private key and the PEM request made with it."""
    asked = [wanted.common_name, wanted.organization, list(wanted.hosts)]
    told = await _child({"request": asked})
    return told["key"].encode(), told["request"].encode()


async def _child(task: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, env=environment, stdin=-1, stdout=-1, stderr=-1
    )
    try:
        async with asyncio.timeout(CHILD_SECONDS):
            out, error = await process.communicate(json.dumps(task).encode())
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise
    if process.returncode:
        told = error.decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        raise Unusable(told[-1])
    answer: dict[str, Any] = json.loads(out)
    return answer


def _read(pem: str, authorities: str) -> dict[str, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import NameOID

    certificate = x509.load_pem_x509_certificate(pem.encode())
    if load_pem_private_key(pem.encode(), None).public_key() != certificate.public_key():
        raise ValueError("certificate and key do not belong together")
    hosts: list[str] = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
        hosts += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        pass  # a client certificate names no host
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "common_name": str(common[0].value) if common else "",
        "hosts": hosts,
        "not_before": certificate.not_valid_before_utc.timestamp(),
        "not_after": certificate.not_valid_after_utc.timestamp(),
        "present": not authorities or _issued_by(certificate, authorities),
    }


def _issued_by(certificate: x509.Certificate, authorities: str) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authorities.encode()))
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _request(common_name: str, organization: str, hosts: list[str]) -> dict[str, Any]:
    from kdist.pki import issue
    from kdist.pki.plan import LeafSpec

    key = issue.new_key()
    leaf = LeafSpec("node", "ca", common_name, None, organizations=(organization,), hosts=tuple(hosts))
    return {"key": key.decode(), "request": issue.request(leaf, key).decode()}


def main() -> None:
    """Do the one task on standard input."""
    task = json.load(sys.stdin)
    try:
        told = _read(*task["read"]) if "read" in task else _request(*task["request"])
    except ValueError as error:
        sys.exit(str(error))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
