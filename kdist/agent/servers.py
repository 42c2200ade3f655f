"""Where the API servers are, as the cluster itself tells: ConfigMap ``kube-public/cluster-info``.

The agent's kubeconfig lists those of the day it was written. Control planes come and go later, and no host is
touched for that: every agent reads the map now and then and keeps what it learned in a file for its next start.
What the kubeconfig lists beside comes last, so a wrong map never cuts a node off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from kdist.api import meta
from kdist.api.errors import ApiError
from kdist.api.kinds import CONFIG_MAPS, Kind
from kdist.api.meta import Obj
from kdist.client import kubeconfig
from kdist.client.rest import Unreachable
from kdist.pki.disk import write
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
NAMESPACE, NAME = "kube-public", "cluster-info"
# Between two looks, and half of it at random on top: a thousand nodes must not come together.
LOOK_SECONDS = 240.0


class Api(Protocol):
    """The one call that this module makes."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """Raises the ApiError tree and Unreachable."""
        ...


def order(told: Iterable[str], configured: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    """The servers to try in turn: this host's own, those the cluster tells, those of the kubeconfig."""
    addresses = set(own)
    known = list(dict.fromkeys([*told, *configured]))
    mine = [server for server in known if urlsplit(server).hostname in addresses]
    return tuple(dict.fromkeys([*mine, *known]))


class Servers:
    """Keeps ``file``, which holds what the cluster told last."""

    def __init__(self, api: Api, file: Path) -> None:
        self._api, self.file = api, file

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            try:
                await self.look()
            except (ApiError, Unreachable, kubeconfig.KubeconfigError, OSError) as error:
                log.debug("the list of API servers cannot be read", error=error)
            await asyncio.sleep(LOOK_SECONDS * random.uniform(1, 1.5))

    async def look(self) -> None:
        """Learn what the cluster tells. Raises the ApiError tree, Unreachable, KubeconfigError and OSError."""
        found = await self._api.get(CONFIG_MAPS, NAME, NAMESPACE)
        _, told = kubeconfig.entry(meta.get(found, "data.kubeconfig", ""))
        if told != read(self.file):
            await asyncio.to_thread(write, self.file, "".join(f"{s}\n" for s in told).encode(), 0o600)
            log.info("API servers are known", servers=list(told))


def read(file: Path) -> tuple[str, ...]:
    """What the cluster told last; empty when it never did."""
    try:
        return tuple(file.read_text().split())
    except FileNotFoundError:
        return ()
