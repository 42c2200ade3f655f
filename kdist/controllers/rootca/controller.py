"""Every namespace has a ConfigMap kube-root-ca.crt with the CA bundle; edits to it are undone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, NotFound
from kdist.api.kinds import CONFIG_MAPS, NAMESPACES
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.ownership import is_terminating_namespace
from kdist.pki.following import Followed

NAME = "kube-root-ca.crt"
KEY = "ca.crt"
LOOK_SECONDS = 5.0
_DESCRIPTION = {
    "kubernetes.io/description": "The CA bundle with which clients in the cluster verify the API server. "
    "It does not verify anything else."
}


class RootCaPublisher(Controller):
    """One key is one namespace. Without ``--root-ca-file`` nothing is published."""

    name = "root-ca-certificate-publisher-controller"

    def setup(self) -> None:
        """Read the bundle; watch namespaces and the published maps."""
        path = self.settings.root_ca_file
        if path is None:
            return
        self._bundle = Followed(path.read_text, [path])
        self._bundle.on_change(self._all_again)
        self._namespaces = self.watch(NAMESPACES, self.enqueue)
        self._maps = self.watch(CONFIG_MAPS, self._map_changed, field_selector=f"metadata.name={NAME}")

    def _map_changed(self, old: Obj | None, new: Obj | None) -> None:
        self.queue.add(meta.namespace(new or old or {}))

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Look at the bundle now and then: it changes when the authority is exchanged."""
        return [self._look()] if self.settings.root_ca_file else []

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._bundle.current()

    def _all_again(self, _: str) -> None:
        for namespace in self._namespaces.list():
            self.queue.add(meta.name(namespace))

    async def reconcile(self, key: str) -> float | None:
        """Create or correct the map."""
        namespace = self._namespaces.get(key)
        if namespace is None or meta.is_deleting(namespace):
            return None
        found, data = self._maps.get(f"{key}/{NAME}"), {KEY: self._bundle.current()}
        try:
            if found is None:
                metadata = {"name": NAME, "namespace": key, "annotations": _DESCRIPTION}
                await self.client.create(CONFIG_MAPS, {"metadata": metadata, "data": data})
            elif found.get("data") != data:
                await self.client.update(CONFIG_MAPS, {**found, "data": data})
        except (AlreadyExists, NotFound):
            return None  # the watch will tell what is there
        except ApiError as error:
            if not is_terminating_namespace(error):
                raise
        return None
