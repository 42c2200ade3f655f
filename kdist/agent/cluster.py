"""What pods' configurations ask of the API: configMaps, secrets, Services, RuntimeClasses."""

from __future__ import annotations

from typing import Protocol

from kdist.agent.pods import spec as specs
from kdist.agent.pods.env import ConfigError, Configs
from kdist.api import meta
from kdist.api.errors import NotFound, ServiceUnavailable
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client

RUNTIME_CLASSES = Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)


class Cluster(Configs, Protocol):
    """The API as far as pods on this node need it. Raises the ApiError tree and Unreachable."""

    async def services(self, pod: Obj) -> tuple[Obj, ...]:
        """The Services whose variables the pod gets; waits until they are known, but not for static pods."""
        ...

    async def runtime_handler(self, runtime_class: str) -> str:
        """The handler of a RuntimeClass. Raises ConfigError when there is none of that name."""
        ...


class ApiCluster:
    """A :class:`Cluster` on the API."""

    def __init__(self, client: Client, configs: Configs, services: Informer) -> None:
        self._client, self._configs, self._services = client, configs, services

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        """The ConfigMap, None when there is none."""
        return await self._configs.config_map(namespace, name)

    async def secret(self, namespace: str, name: str) -> Obj | None:
        """The Secret, None when there is none."""
        return await self._configs.secret(namespace, name)

    async def services(self, pod: Obj) -> tuple[Obj, ...]:
        """See :meth:`Cluster.services`."""
        if not specs.is_static(pod):
            await self._services.wait_synced()
        return tuple(self._services.list())

    async def runtime_handler(self, runtime_class: str) -> str:
        """See :meth:`Cluster.runtime_handler`."""
        try:
            found = await self._client.get(RUNTIME_CLASSES, runtime_class)
        except NotFound as error:
            raise ConfigError(f'RuntimeClass "{runtime_class}" not found') from error
        return str(found.get("handler") or "")


class NoCluster:
    """A :class:`Cluster` for a node that runs static pods only."""

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        """There is none."""
        return None

    async def secret(self, namespace: str, name: str) -> Obj | None:
        """There is none."""
        return None

    async def services(self, pod: Obj) -> tuple[Obj, ...]:
        """There are none."""
        return ()

    async def runtime_handler(self, runtime_class: str) -> str:
        """There are none."""
        raise ConfigError(f'RuntimeClass "{runtime_class}" needs an API server')


def slim_service(service: Obj) -> Obj:
    """A Service with nothing but what environment variables need."""
    spec = service.get("spec") or {}
    return {
        "metadata": {
            "name": meta.name(service),
            "namespace": meta.namespace(service),
            "resourceVersion": meta.resource_version(service),
        },
        "spec": {k: spec[k] for k in ("clusterIP", "type", "ports") if k in spec},
    }


class NoApi:
    """The API of a node without one: every call is refused, so that what needs it says why it does not start."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """Raises ServiceUnavailable."""
        raise ServiceUnavailable(f"{kind.plural} need an API server, and this node has none")

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        name: str | None = None,
    ) -> Obj:
        """Raises ServiceUnavailable."""
        raise ServiceUnavailable(f"{kind.plural} need an API server, and this node has none")
