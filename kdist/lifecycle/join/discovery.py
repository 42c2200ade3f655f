"""How a host that knows a token and the hash of the CA's key learns whom to trust, without anybody's files.

It reads ``kube-public/cluster-info`` from whoever answers, believes it when the token has signed it and the CA in
it has the pinned key, and reads it again with that CA from the server it now knows.
"""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import yaml

from kdist.lifecycle.join import tokens
from kdist.lifecycle.join.trust import INFO_NAME, INFO_NAMESPACE, authority_hash
from kdist.pki import jws

SECONDS = 5.0
_PATH = f"/api/v1/namespaces/{INFO_NAMESPACE}/configmaps/{INFO_NAME}"


class NotTrusted(Exception):
    """No server could be believed; the text says why for each."""


def believed(data: dict[str, str], token: str, pin: str) -> bytes:
    """The CA of a cluster-info's data. Raises NotTrusted with the reason."""
    identity, secret = tokens.split(token)
    content = data.get("kubeconfig", "")
    signature = data.get(f"jws-kubeconfig-{identity}")
    if signature is None:
        raise NotTrusted(
            f"cluster-info is not signed by token {identity}: it has expired or is not of this cluster"
        )
    if not hmac.compare_digest(signature, jws.detached(content, identity, secret)):
        raise NotTrusted(f"the signature of token {identity} on cluster-info is wrong")
    try:
        text = yaml.safe_load(content)["clusters"][0]["cluster"]["certificate-authority-data"]
        authority = base64.b64decode(text)
        found = authority_hash(authority)
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise NotTrusted(f"cluster-info holds no CA: {error!r}") from error
    if found != pin:
        raise NotTrusted(f"the CA's key is {found}, and {pin} was given")
    return authority


def discover(servers: Iterable[str], token: str, pin: str) -> bytes:
    """The CA, from the first of the servers that can be believed. Raises NotTrusted, InvalidToken."""
    reasons = []
    for server in servers:
        try:
            authority = believed(_data(server, _blind()), token, pin)
            if believed(_data(server, ssl.create_default_context(cadata=authority.decode())), token, pin):
                return authority
        except (NotTrusted, OSError, ValueError) as error:
            if isinstance(error, tokens.InvalidToken):
                raise
            reasons.append(f"{server}: {getattr(error, 'reason', error)}")
    raise NotTrusted("; ".join(reasons) or "no API server is known")


def _blind() -> ssl.SSLContext:
    """What is read by it is believed only by its signature."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _data(server: str, tls: ssl.SSLContext) -> dict[str, str]:
    with urllib.request.urlopen(server + _PATH, timeout=SECONDS, context=tls) as answer:
        document: dict[str, Any] = json.load(answer)
    return document.get("data") or {}
