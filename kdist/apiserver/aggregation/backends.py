"""The remote APIServices: which group and version is served by which Service, and how to trust it.

A backend whose APIService is not Available is known, too: requests for it are answered with 503, not by this
server's own resources.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdist.api import meta
from kdist.api.errors import ServiceUnavailable
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.apiserver.admission.webhooks.client import CallError, endpoint_of
from kdist.apiserver.admission.webhooks.configuration import ServiceReference
from kdist.apiserver.streaming.location import Location
from kdist.pki.following import Followed
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.apiserver.ports import Reader
    from kdist.config.apiserver import ApiServerSettings

API_SERVICES = Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)
DEFAULT_PORT = 443
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a group and version is served, by its APIService."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca_bundle: bytes
    insecure: bool
    group_priority: int
    version_priority: int
    available: bool

    @property
    def root(self) -> str:
        """``/apis/GROUP/VERSION``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def server_name(self) -> str:
        """The name that the server's certificate must have."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def same_server(self) -> tuple[str, str, int]:
        """Equal for backends that one server answers for."""
        return self.namespace, self.service, self.port


def backend_of(api_service: Obj) -> Backend | None:
    """The backend of an APIService; None for one that this server itself serves."""
    spec = api_service["spec"]
    service = spec.get("service")
    if not service:
        return None
    return Backend(
        meta.name(api_service),
        spec.get("group") or "",
        spec["version"],
        service.get("namespace") or "",
        service.get("name") or "",
        service.get("port") or DEFAULT_PORT,
        _decoded(spec.get("caBundle") or "", meta.name(api_service)),
        bool(spec.get("insecureSkipTLSVerify")),
        spec["groupPriorityMinimum"],
        spec["versionPriority"],
        is_available(api_service),
    )


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        _log.warning("the caBundle of an APIService is no base64", name=name, error=str(error))
        return b"-"  # no certificate: every connection is refused


def is_available(api_service: Obj) -> bool:
    """Whether the condition Available is true."""
    conditions = meta.get(api_service, "status.conditions", []) or []
    return any(c.get("type") == "Available" and c.get("status") == "True" for c in conditions)


class Contexts:
    """TLS towards backends: our front-proxy certificate, theirs verified as their APIService says."""

    def __init__(self, settings: ApiServerSettings) -> None:
        self._cert, self._key = settings.proxy_client_cert_file, settings.proxy_client_key_file
        own = [path for path in (self._cert, self._key) if path]
        # Those made with one state of our certificate; another one begins with none.
        self._made: Followed[dict[tuple[bytes, bool, str], ssl.SSLContext]] = Followed(self._none, own)

    def _none(self) -> dict[tuple[bytes, bool, str], ssl.SSLContext]:
        if self._cert is not None:  # half of a pair is not taken up
            ssl.create_default_context().load_cert_chain(self._cert, self._key)
        return {}

    def of(self, backend: Backend, *, verify: bool = True) -> ssl.SSLContext:
        """The context of a backend, kept until our certificate changes. ServiceUnavailable for a bad caBundle."""
        made = self._made.current()
        verify = verify and not backend.insecure
        at = (backend.ca_bundle if verify else b"", verify, backend.server_name)
        context = made.get(at)
        if context is None:
            context = made[at] = self._make(backend, verify)
        return context

    def _make(self, backend: Backend, verify: bool) -> ssl.SSLContext:
        try:
            authority = backend.ca_bundle.decode() if verify and backend.ca_bundle else None
            context = ssl.create_default_context(cadata=authority)
            if self._cert is not None:
                context.load_cert_chain(self._cert, self._key)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise ServiceUnavailable(f"no TLS to the server of APIService {backend.name}: {error}") from error
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Backends:
    """The remote APIServices by (group, version), and the way to their servers."""

    def __init__(self, reader: Reader, settings: ApiServerSettings) -> None:
        self._reader = reader
        self._contexts = Contexts(settings)
        self._listeners: list[Callable[[], None]] = []
        #: Read on every request, so it must stay one dict.
        self.known: dict[tuple[str, str], Backend] = {}
        self._by_name: dict[str, Backend] = {}

    def follow(self) -> None:
        """Know the APIServices from the first state of the cache on."""
        self._reader.on_change(API_SERVICES, self._changed)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after every change of what is known."""
        self._listeners.append(callback)

    def _changed(self, _: str, name: str, api_service: Obj | None) -> None:
        before = self._by_name.pop(name, None)
        now = backend_of(api_service) if api_service is not None else None
        if before == now:
            if now is not None:
                self._by_name[name] = now
            return
        if before is not None:
            self.known.pop((before.group, before.version), None)
        if now is not None:
            self._by_name[name] = self.known[now.group, now.version] = now
        for listener in self._listeners:
            listener()

    def locate(self, backend: Backend, *, verify: bool = True) -> Location:
        """A server of the backend. ServiceUnavailable when its Service has none."""
        reference = ServiceReference(backend.namespace, backend.service, backend.port)
        try:
            host, port = endpoint_of(self._reader, reference)
        except CallError as error:
            raise ServiceUnavailable(str(error)) from error
        return Location(host, port, self._contexts.of(backend, verify=verify), backend.server_name)
