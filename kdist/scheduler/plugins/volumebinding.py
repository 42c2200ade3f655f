"""Nodes must reach the pod's volumes; claims that wait for a consumer are bound to the node it gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kdist.api import meta
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kdist.api.meta import Obj
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import BindingFailed, Plugin, Rejection, State, Unschedulable
from kdist.scheduler.listers import Listers
from kdist.scheduler.nodeselection import any_term
from kdist.scheduler.nodetable import Bools
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.volumes import (
    SELECTED_NODE,
    ClaimBinder,
    Decision,
    VolumeChooser,
    is_bound,
    pod_claims,
    topology_terms,
    volume_terms,
)


@dataclass(slots=True)
class _Claims:
    bound: list[Obj] = field(default_factory=list)
    waiting: list[Obj] = field(default_factory=list)
    decision: Decision | None = None


class VolumeBinding(Plugin):
    """Judges bound and waiting claims; decides, promises and binds the waiting ones."""

    name = "VolumeBinding"

    def __init__(self, cache: Cache, listers: Listers, binder: ClaimBinder | None) -> None:
        super().__init__(cache)
        self._listers, self._binder = listers, binder
        self._chooser = VolumeChooser(listers)

    def pre_filter(self, pod: PodInfo, state: State) -> Unschedulable | None:
        """Sort the claims; a missing, dying or unbound immediate one keeps the pod waiting."""
        claims = _Claims()
        for name, ephemeral in pod_claims(pod.obj):
            claim = self._listers.get(PERSISTENT_VOLUME_CLAIMS, name, pod.namespace)
            if claim is None:
                return Unschedulable(
                    f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                    if ephemeral
                    else f'persistentvolumeclaim "{name}" not found'
                )
            if meta.is_deleting(claim):
                return Unschedulable(f'persistentvolumeclaim "{name}" is being deleted')
            if is_bound(claim):
                claims.bound.append(claim)
            elif self._waits(claim):
                claims.waiting.append(claim)
            else:
                return Unschedulable("pod has unbound immediate PersistentVolumeClaims")
        if claims.bound or claims.waiting:
            state[self.name] = claims
        return None

    def _waits(self, claim: Obj) -> bool:
        if meta.get(claim, "spec.volumeName"):
            return False  # the user named a volume: the controller binds it
        storage_class = self._listers.get(
            STORAGE_CLASSES, meta.get(claim, "spec.storageClassName", "") or "-"
        )
        return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """Rows that cannot reach a bound volume, rows where a waiting claim finds none."""
        claims: _Claims | None = state.get(self.name)
        if claims is None:
            return
        lost, conflict = np.zeros(len(self.table), bool), np.zeros(len(self.table), bool)
        for claim in claims.bound:
            volume = self._listers.get(PERSISTENT_VOLUMES, claim["spec"]["volumeName"])
            if volume is None:
                lost |= True
            else:
                conflict |= ~self._where(volume_terms(volume))
        yield Rejection(
            lost, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", False
        )
        yield Rejection(conflict, "node(s) had volume node affinity conflict", resolvable=False)
        homeless = np.zeros(len(self.table), bool)
        for claim in claims.waiting:
            homeless |= ~self._served(claim)
        yield Rejection(
            homeless, "node(s) didn't find available persistent volumes to bind", resolvable=False
        )

    def _where(self, terms: list[Obj] | None) -> Bools:
        return np.ones(len(self.table), bool) if terms is None else any_term(self.table, terms)

    def _served(self, claim: Obj) -> Bools:
        """The rows where a free volume or a provisioner serves the claim."""
        chosen = meta.annotations(claim).get(SELECTED_NODE)
        rows = np.zeros(len(self.table), bool)
        if chosen is None:
            for volume in self._chooser.candidates(claim):
                rows |= self._where(volume_terms(volume))
        storage_class = self._chooser.provisioning_class(claim)
        if storage_class is not None:
            rows |= self._where(topology_terms(storage_class))
        if chosen is not None:
            only = np.zeros(len(self.table), bool)
            if chosen in self.table.rows:
                only[self.table.rows[chosen]] = True
            rows &= only
        return rows

    def reserve(self, pod: PodInfo, state: State, node: str) -> Unschedulable | None:
        """Promise volumes on the chosen node."""
        claims: _Claims | None = state.get(self.name)
        if claims is None or not claims.waiting:
            return None
        claims.decision = self._chooser.decide(claims.waiting, self.cache.nodes[node])
        if claims.decision is None:
            return Unschedulable("node(s) didn't find available persistent volumes to bind", resolvable=True)
        return None

    def unreserve(self, pod: PodInfo, state: State, node: str) -> None:
        """Take the promises back."""
        claims: _Claims | None = state.get(self.name)
        if claims is not None and claims.decision is not None:
            self._chooser.release(claims.decision)
            claims.decision = None

    async def pre_bind(self, pod: PodInfo, state: State, node: str) -> None:
        """Write the decision and wait for it to come true."""
        claims: _Claims | None = state.get(self.name)
        if claims is None or claims.decision is None or self._binder is None:
            return
        found = self.cache.nodes.get(node)
        if found is None:
            raise BindingFailed(f'node "{node}" is gone')
        await self._binder.bind(claims.decision, found)
        self._chooser.release(claims.decision)
