"""The state of the table on this host: plans are turned into transactions here, and run.

All methods but :meth:`Rules.plan` and :meth:`Rules.discard` block; the controller calls them in a thread, one
at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from kdist.proxy import affinity, conntrack, integrity, metrics, services, table
from kdist.proxy.chains import PROTOCOLS
from kdist.proxy.family import Family
from kdist.proxy.ledger import Change, Ledger
from kdist.proxy.nfnetlink import NetfilterSocket
from kdist.proxy.nft import Nft, NftError
from kdist.proxy.plan import Flows, ServicePlan, plan
from kdist.telemetry import log as logs

log = logs.get(__name__)


class Rules:
    """The proxy's rules of one address family. Not safe for use by several threads."""

    def __init__(self, nft: Nft, family: Family, node: str, pod_cidrs: Sequence[str]) -> None:
        self.ledger = Ledger()
        self._nft, self._family, self._node = nft, family, node
        self._pod_cidrs = [cidr for cidr in pod_cidrs if family.owns(cidr)]
        self._netlink = NetfilterSocket()
        self._chains: set[str] = set()
        self._changes: list[Change] = []
        self._touched: dict[str, ServicePlan | None] = {}
        self._mark: integrity.Mark | None = None

    def close(self) -> None:
        """Let go of the kernel; the rules stay in force."""
        self._netlink.close()
        self._nft.close()

    def plan(self, key: str, service: dict[str, Any] | None, slices: Iterable[dict[str, Any]]) -> None:
        """Take note of the current state of one Service; nothing is applied yet."""
        known = self.ledger.plans.get(key)
        read = services.read(service, self._family) if service else None
        order = known.arranged if known else None
        new = plan(read, slices, self._family, self._node, order) if read else None
        if known is None and new is None:
            return
        self._touched.setdefault(key, known)
        self._changes += self.ledger.replace(key, new)

    def apply(self) -> None:
        """Apply what was noted since the last time. NftError: nothing took effect, use :meth:`rewrite`."""
        chains = {
            chain
            for key in self._touched
            if key in self.ledger.plans
            for chain in self.ledger.plans[key].chains
            if chain.name not in self._chains
        }
        if text := table.incremental(self._family, self._pod_cidrs, chains, self._changes):
            with metrics.SYNC_SECONDS.time():
                self._nft.run(text)
        self._chains.update(chain.name for chain in chains)
        self._applied()

    def rewrite(self) -> None:
        """Replace the whole table in one transaction; connections and affinity survive. Raises NftError."""
        chains = self.ledger.chains()
        clients = self._valid_clients() if integrity.observe(self._netlink, self._family) else []
        text = table.from_scratch(
            self._family, self._pod_cidrs, chains, self.ledger.elements(), affinity.carried_over(clients)
        )
        with metrics.FULL_SYNC_SECONDS.time():
            self._nft.run(text)
        self._chains = {chain.name for chain in chains}
        self._applied()

    def is_intact(self) -> bool:
        """Whether the table is still there as it was left. Raises OSError."""
        seen, left = integrity.observe(self._netlink, self._family), self._mark
        if seen is None or left is None or not seen.same_table(left):
            return False
        self._mark = seen
        return True

    def forget_all_stale_flows(self) -> None:
        """Once at start: endpoints may have gone while no proxy was looking."""
        self._forget({f: b for plan in self.ledger.plans.values() for f, b in plan.flows.items()})

    def _applied(self) -> None:
        touched, self._touched, self._changes = self._touched, {}, []
        self._mark = integrity.observe(self._netlink, self._family)
        metrics.LAST_SYNC.set(time.time())
        self._forget(self._changed_flows(touched))
        self._forget_clients(touched)

    def _changed_flows(self, touched: dict[str, ServicePlan | None]) -> Flows:
        """UDP frontends which lost an endpoint, got their first, or are gone."""
        changed: Flows = {}
        for key, old in touched.items():
            new = self.ledger.plans.get(key)
            new_flows = new.flows if new else {}
            for frontend, before in (old.flows if old else {}).items():
                after = new_flows.get(frontend, frozenset())
                if before - after or not before:
                    changed[frontend] = after
        return changed

    def _forget(self, flows: Flows) -> None:
        if not flows:
            return
        try:
            metrics.FORGOTTEN_FLOWS.inc(conntrack.forget_stale(self._netlink, self._family, flows))
        except OSError as error:  # the rules are right all the same; flows time out in the end
            log.warning("cannot delete stale UDP flows", error=error)

    def _clients(self) -> list[affinity.Entry]:
        name = self._family.nft
        return [
            entry
            for protocol in PROTOCOLS
            for entry in affinity.parse(
                protocol, self._nft.elements(name, table.TABLE, f"affinity-{protocol}")
            )
        ]

    def _valid_clients(self) -> list[affinity.Entry]:
        entries, plans = self._clients(), self.ledger.plans.values()
        backends = {f: b for plan in plans if plan.affine for f, b in plan.backends.items()}
        wrong = set(affinity.stale(entries, backends))
        return [entry for entry in entries if entry not in wrong]

    def _forget_clients(self, touched: dict[str, ServicePlan | None]) -> None:
        """Clients that session affinity would still send to an endpoint that is gone."""
        current = {}
        for key, old in touched.items():
            new = self.ledger.plans.get(key)
            for frontend, before in (old.backends if old and old.affine else {}).items():
                after = new.backends.get(frontend, frozenset()) if new else frozenset()
                if before - after:
                    current[frontend] = after
        if not current:
            return
        for entry in affinity.stale(self._clients(), current):
            gone = Change(f"affinity-{entry.protocol}", entry.bare_key, str(entry.backend), None)
            try:
                self._nft.run(table.incremental(self._family, (), (), [gone]))
            except NftError as error:  # it expired in this very moment
                log.debug("affinity entry was gone already", client=entry.client, error=error)
