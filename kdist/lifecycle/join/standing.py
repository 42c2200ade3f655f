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

from kdist.api import removednodes

SECONDS = 3.0


def refusal(servers: Iterable[str], authority: bytes, certificate: Path, node: str) -> str | None:
    """Why the first API server that answers takes the node for removed; None when it does not.

    ``certificate``: a file with its key. Whatever else an answer complains of is not the certificate's fault.
    """
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
                return _told(answer.read())
        except OSError:
            continue
    return None


def _told(body: bytes) -> str | None:
    try:
        status = json.loads(body)
        return str(status["message"]) if status["details"]["kind"] == removednodes.REFUSED else None
    except (ValueError, LookupError, TypeError):  # not an answer of ours, or of another kind
        return None
