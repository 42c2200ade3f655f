"""Nodes that were taken out of the cluster: the certificates that they had then are believed no more.

A host that was removed while it was switched off still has a certificate that its authority vouches for. What is
refused is in :mod:`kdist.api.removednodes`; when such a host asks is written there, for `kdist doctor` to tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kdist.api import removednodes
from kdist.api.errors import ApiError, Conflict, NotFound, Unauthorized
from kdist.api.kinds import SECRETS
from kdist.apiserver.ports import Reader, Writer
from kdist.pki.plan import BACKDATE
from kdist.telemetry import log

_log = log.get(__name__)
# Between two notes about one node: it asks every few seconds.
NOTE_SECONDS = 300.0


class RemovedNodes:
    """Judges certificates of nodes; ``asked`` is told the node that was refused."""

    def __init__(self, reader: Reader, asked: Callable[[str], None]) -> None:
        self._reader, self._asked = reader, asked

    def check(self, node: str, not_before: float) -> None:
        """Raise Unauthorized for a certificate that the node had when it was removed."""
        found = self._reader.get(SECRETS, removednodes.NAMESPACE, removednodes.name(node))
        removed = removednodes.read(found) if found is not None else None
        if removed is None or not removed.refuses(not_before + BACKDATE.total_seconds()):
            return
        self._asked(node)
        raise Unauthorized(
            f"node {node} was removed from the cluster at {removed.moment}, and the certificate it had then is "
            f"refused: bring it back with site.yml --limit {node}, or clean the host with kdist reset",
            details={"name": node, "kind": removednodes.REFUSED},
        )


class AskNotes:
    """Writes when removed nodes ask, one after the other, behind the requests that were refused."""

    def __init__(self, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self._writer, self._clock = writer, clock
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._noted: dict[str, float] = {}

    def asked(self, node: str) -> None:
        """Note that the node asks, unless that was done a moment ago."""
        if self._clock() - self._noted.get(node, float("-inf")) >= NOTE_SECONDS:
            self._noted[node] = self._clock()
            self._queue.put_nowait(node)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            node = await self._queue.get()
            _log.warning("a removed node asks to come in", node=node)
            try:
                await self._write(node)
            except (Conflict, NotFound):
                continue  # another server has noted it, or it is refused no more
            except ApiError as error:
                _log.warning("cannot note that a removed node asks", node=node, error=error.message)

    async def _write(self, node: str) -> None:
        found = await self._writer.get(SECRETS, removednodes.NAMESPACE, removednodes.name(node))
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        annotations = {**(found["metadata"].get("annotations") or {}), removednodes.ASKED: moment}
        metadata = {**found["metadata"], "annotations": annotations}
        await self._writer.update(SECRETS, {**found, "metadata": metadata})
