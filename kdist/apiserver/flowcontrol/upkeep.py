"""Keeps the gate in step with the stored objects, and the stored objects in step with the release.

Follows both resources through the watch caches, moves seats between levels every ten seconds, restores the
objects of the release every minute. The gate works from the first request on: with the mandatory levels until the
objects are loaded.
"""

from __future__ import annotations

import asyncio
import time

from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.api.scheme import Scheme
from kdist.apiserver.flowcontrol import numbers
from kdist.apiserver.flowcontrol.defaults import LEVELS, SCHEMAS
from kdist.apiserver.flowcontrol.gate import FlowGate, Gate
from kdist.apiserver.flowcontrol.maintenance import Maintenance
from kdist.apiserver.ports import Changed, Reader, Writer

REBALANCE_SECONDS = 10.0
MAINTENANCE_SECONDS = 60.0


class Upkeep:
    """One per server. Does nothing when priority and fairness is off or the API level lacks it."""

    def __init__(self, reader: Reader, writer: Writer, scheme: Scheme) -> None:
        self._maintenance = Maintenance(reader, writer)
        self._known: dict[Kind, dict[str, Obj]] = {LEVELS: {}, SCHEMAS: {}}
        self._changed = asyncio.Event()
        self._gate: FlowGate | None = None
        self.served = all(scheme.by_path(k.group, k.version, k.plural) for k in (LEVELS, SCHEMAS))
        if self.served:
            for kind in (LEVELS, SCHEMAS):
                reader.on_change(kind, self._follower(kind))

    def _follower(self, kind: Kind) -> Changed:
        def changed(_: str, name: str, obj: Obj | None) -> None:
            if obj is None:
                self._known[kind].pop(name, None)
            else:
                self._known[kind][name] = obj
            self._changed.set()

        return changed

    async def start(self, gate: Gate) -> None:
        """Create what there must be and put it into force."""
        if not self.served:
            return
        await self._maintenance.round()
        if isinstance(gate, FlowGate):
            self._gate = gate
            numbers.publish(gate.levels)
            self._apply()

    def _apply(self) -> None:
        self._changed.clear()
        if self._gate is not None:
            self._gate.levels.configure(self._known[LEVELS].values(), self._known[SCHEMAS].values())

    async def run(self) -> None:
        """Until cancelled."""
        rebalanced = maintained = time.monotonic()
        if not self.served:
            await asyncio.Event().wait()
        while True:
            try:
                async with asyncio.timeout(max(0.0, rebalanced + REBALANCE_SECONDS - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                rebalanced = time.monotonic()
                if self._gate is not None:
                    self._gate.levels.rebalance()
            else:
                self._apply()
                await self._maintenance.round()
            if time.monotonic() - maintained >= MAINTENANCE_SECONDS:
                maintained = time.monotonic()
                await self._maintenance.round()
