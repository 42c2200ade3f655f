"""What is wrong with how a webhook is reached: the URL, or the service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_FORM = "; desired format: https://host[/path]"


def check_client(client: Obj, where: str) -> Iterator[Cause]:
    """Causes for a WebhookClientConfig."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield causes.required(where, "exactly one of url or service is required")
    elif url is not None:
        yield from check_url(url, f"{where}.url")
    else:
        yield from _service(service or {}, f"{where}.service")


def check_url(url: str, field: str) -> Iterator[Cause]:
    """Causes for the URL of a webhook."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        yield causes.required(field, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield causes.invalid(field, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield causes.invalid(field, "", f"host must be specified{_FORM}")
    user, at, _ = parts.netloc.rpartition("@")
    if at:
        yield causes.invalid(field, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield causes.invalid(field, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield causes.invalid(field, parts.query, "query parameters are not permitted in the URL")


def _service(service: Obj, where: str) -> Iterator[Cause]:
    # Upstream takes the one for the other here; clients know the answers so.
    if not service.get("namespace"):
        yield causes.required(f"{where}.name", "service name is required")
    if not service.get("name"):
        yield causes.required(f"{where}.namespace", "service namespace is required")
    port = service.get("port", 0)
    if complaints := names.port_number(port):
        yield causes.invalid(f"{where}.port", port, f"port is not valid: {', '.join(complaints)}")
    yield from check_path(service.get("path") or "", f"{where}.path")


def check_path(path: str, field: str) -> Iterator[Cause]:
    """Causes for the path of a webhook's service: names between slashes."""
    if path in ("", "/"):
        return
    if path == "//":
        yield causes.invalid(field, path, "segment[0] may not be empty")
        return
    if not path.startswith("/"):
        yield causes.invalid(field, path, "must start with a '/'")
    for at, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            yield causes.invalid(field, path, f"segment[{at}] may not be empty")
            continue
        for complaint in names.dns_subdomain(step):
            yield causes.invalid(field, path, f"segment[{at}]: {complaint}")
