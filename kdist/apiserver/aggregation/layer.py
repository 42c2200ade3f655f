"""The aggregation layer of one process: its parts put together, and what the rest of the server asks of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from kdist.api.meta import Obj
from kdist.apiserver.aggregation import groups
from kdist.apiserver.aggregation.availability import Availability
from kdist.apiserver.aggregation.backends import Backend, Backends
from kdist.apiserver.aggregation.proxying import backend_for
from kdist.apiserver.aggregation.registering import LocalServices
from kdist.apiserver.aggregation.remotediscovery import Fetcher, RemoteDiscovery
from kdist.apiserver.aggregation.remoteopenapi import RemoteOpenAPI
from kdist.apiserver.requestinfo import RequestInfo

if TYPE_CHECKING:
    from kdist.apiserver.core import Core
    from kdist.apiserver.ports import Reader, Writer


class Aggregation:
    """The APIServices of one process. :meth:`follow` before the server starts, :meth:`works` while it serves."""

    def __init__(self, core: Core, reader: Reader, writer: Writer, *, ready: Callable[[], bool]) -> None:
        self._core = core
        self.backends = Backends(reader, core.settings)
        fetcher = Fetcher(self.backends, core.forwarder)
        self.openapi = RemoteOpenAPI(self.backends, fetcher)
        self._discovery = RemoteDiscovery(fetcher)
        self._local = LocalServices(core, reader, writer)
        self._availability = Availability(
            reader, writer, self.backends, core.forwarder, self._discovery, ready=ready
        )

    def follow(self) -> None:
        """Hear of the APIServices: first who is remote, then what depends on it."""
        self.backends.follow()
        self._availability.follow()
        self._local.follow()

    def works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The endless works, by name."""
        return {
            "api-service-availability": self._availability.run(),
            "api-service-registration": self._local.run(),
        }

    def backend_for(self, info: RequestInfo) -> Backend | None:
        """The backend that answers a request; None when this server does."""
        known = self.backends.known
        return backend_for(known, info) if known else None

    def served(self) -> dict[str, list[str]]:
        """The versions of each group, here and elsewhere, both preferred first."""
        return groups.ordered(self._core.scheme, self.backends.known)

    def version(self, group: str, version: str) -> Obj | None:
        """The discovery of a group and version that another server serves."""
        backend = self.backends.known.get((group, version))
        return self._discovery.version(backend) if backend is not None else None
