"""Registry mirrors in the cluster file: what is accepted, in one plain form for roles. Pure.

``kdist_registry_mirrors`` maps a registry, as image names begin with it, to where its images are pulled from instead:

    docker.io: https://mirror.example
    registry.example:5000: [{url: https://10.0.0.5, ca: "-----BEGIN CERTIFICATE-----..."}, http://10.0.0.6:5000]
    "*": http://10.0.0.6:5000

The mirrors are tried in order and nobody else: a host without uplink would wait for the registry itself in vain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

REGISTRY = re.compile(r"\*|[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
KEYS = {"url", "ca"}
Mirror = dict[str, str]


def mirrors(value: Any) -> dict[str, list[Mirror]]:
    """Registry → mirrors, each with ``url`` and ``ca`` (PEM, or empty). ValueError with the reason."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping of registry to mirrors, not {value!r}")
    return {_registry(name): _mirrors(name, given) for name, given in value.items()}


def _registry(name: Any) -> str:
    if not isinstance(name, str) or not REGISTRY.fullmatch(name):
        raise ValueError(f"{name!r} is no registry: docker.io, registry.example:5000, or * for all others")
    return name


def _mirrors(registry: str, given: Any) -> list[Mirror]:
    found = [_mirror(registry, one) for one in (given if isinstance(given, list | tuple) else [given])]
    if not found:
        raise ValueError(f"{registry} has no mirror; leave the registry out")
    urls = [mirror["url"] for mirror in found]
    if len(set(urls)) < len(urls):
        raise ValueError(f"{registry} names a mirror twice")
    return found


def _mirror(registry: str, given: Any) -> Mirror:
    one = {"url": given} if isinstance(given, str) else given
    if not isinstance(one, Mapping) or not one.keys() <= KEYS or "url" not in one:
        raise ValueError(f"{registry}: a mirror is a URL, or a mapping of url and ca, not {given!r}")
    return {"url": _url(registry, one["url"]), "ca": _ca(registry, one.get("ca"))}


def _url(registry: str, url: Any) -> str:
    try:
        parts = urlsplit(str(url))
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = None
    if not known or parts.query or parts.fragment or parts.username or re.search(r'[\s"\\]', str(url)):
        raise ValueError(f"{registry}: {url!r} is no URL such as https://mirror.example:5000")
    if parts.path not in ("", "/"):
        raise ValueError(f"{registry}: {url} has a path; containerd asks a mirror below /v2 of its root only")
    return str(url).rstrip("/")


def _ca(registry: str, pem: Any) -> str:
    if not pem:
        return ""
    try:
        x509.load_pem_x509_certificates(str(pem).encode())
    except ValueError as error:
        raise ValueError(f"{registry}: ca is no certificate in PEM form: {error}") from error
    return str(pem).strip() + "\n"
