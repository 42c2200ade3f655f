"""Whether a cluster still takes a host's own certificate, as the host itself finds out by using it.

Only an answer counts: while no API server answers, the certificate is as good as its dates say.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

SECONDS = 3.0
_UNAUTHORIZED = 401


def refusal(servers: Iterable[str], authority: bytes, certificate: Path, node: str) -> str | None:
    """Why the first API server that answers refuses the certificate (a file with its key); None when it does not."""
    try:
        tls = ssl.create_default_context(cadata=authority.decode())
        tls.load_cert_chain(certificate)
    except (OSError, ValueError):  # none, or none that serves: its dates and its issuer are judged elsewhere
        return None
    for server in servers:
        try:
            with urllib.request.urlopen(f"{server}/api/v1/nodes/{node}", timeout=SECONDS, context=tls):
                return None
        except urllib.error.HTTPError as answer:
            with answer:
                return _told(answer.read()) if answer.code == _UNAUTHORIZED else None
        except OSError:
            continue
    return None


def _told(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return "the cluster refuses its certificate"
