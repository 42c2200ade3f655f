"""Claims of pods: which volume or provisioner serves them on which node, and binding them before the pod.

A claim of a class with ``WaitForFirstConsumer`` is bound by the choice of a node: to a free volume that can be
reached from there, or by asking the provisioner for one (the ``selected-node`` annotation).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kdist.api import meta, quantity
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kdist.api.meta import Obj
from kdist.api.selectors import from_label_selector, match_node_selector_terms
from kdist.client.rest import Client
from kdist.scheduler.framework import BindingFailed
from kdist.scheduler.listers import Listers

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
# How long a provisioner may take before the pod is scheduled anew.
BIND_SECONDS = 600.0


def pod_claims(pod: Obj) -> Iterator[tuple[str, bool]]:
    """(claim name, whether the ephemeral volume controller makes it) of each volume that is a claim."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"], False
        elif volume.get("ephemeral"):
            yield f"{meta.name(pod)}-{volume['name']}", True


def is_bound(claim: Obj) -> bool:
    """Whether claim and volume have found each other for good."""
    return bool(meta.get(claim, "spec.volumeName")) and BIND_COMPLETED in meta.annotations(claim)


def volume_terms(volume: Obj) -> list[Obj] | None:
    """The node selector terms from which the volume can be reached; None: from everywhere."""
    terms: list[Obj] | None = meta.get(volume, "spec.nodeAffinity.required.nodeSelectorTerms")
    return terms


def reachable(volume: Obj, node: Obj) -> bool:
    """Whether a node can reach the volume."""
    terms = volume_terms(volume)
    return terms is None or match_node_selector_terms(terms, node)


def topology_terms(storage_class: Obj) -> list[Obj] | None:
    """The class's allowedTopologies as node selector terms; None: everywhere."""
    topologies = storage_class.get("allowedTopologies")
    if not topologies:
        return None
    return [
        {"matchExpressions": [{**e, "operator": "In"} for e in topology.get("matchLabelExpressions") or ()]}
        for topology in topologies
    ]


def requested(claim: Obj) -> int:
    """Bytes the claim asks for."""
    return quantity.value(meta.get(claim, "spec.resources.requests.storage", "0"))


def suits(volume: Obj, claim: Obj) -> bool:
    """Whether a free volume satisfies a claim, wherever it is."""
    spec, wanted = volume["spec"], claim["spec"]
    ref = spec.get("claimRef")
    if ref is not None:
        mine = (ref.get("namespace"), ref.get("name")) == (meta.namespace(claim), meta.name(claim))
        return mine and ref.get("uid") in (None, "", meta.uid(claim))
    if meta.is_deleting(volume) or meta.get(volume, "status.phase") != "Available":
        return False
    if (spec.get("storageClassName") or "") != (wanted.get("storageClassName") or ""):
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if wanted.get("selector") and not from_label_selector(wanted["selector"]).matches(meta.labels(volume)):
        return False
    return quantity.value(meta.get(volume, "spec.capacity.storage", "0")) >= requested(claim)


@dataclass(slots=True)
class Decision:
    """What binding a pod's claims takes on the chosen node."""

    static: list[tuple[Obj, Obj]] = field(default_factory=list)
    provision: list[Obj] = field(default_factory=list)

    @property
    def claims(self) -> list[Obj]:
        """All claims that are to be bound."""
        return [*(claim for claim, _ in self.static), *self.provision]


class VolumeChooser:
    """Knows the free volumes and the classes; keeps what it has promised to pods being bound."""

    def __init__(self, listers: Listers) -> None:
        self._listers = listers
        self._promised: dict[str, str] = {}

    def candidates(self, claim: Obj) -> list[Obj]:
        """Free volumes for a claim, the smallest first."""
        key = meta.key(claim)
        found = [
            volume
            for volume in self._listers.list(PERSISTENT_VOLUMES)
            if self._promised.get(meta.name(volume), key) == key and suits(volume, claim)
        ]
        return sorted(found, key=lambda v: quantity.value(meta.get(v, "spec.capacity.storage", "0")))

    def provisioning_class(self, claim: Obj) -> Obj | None:
        """The claim's class when volumes can be made for it."""
        name = meta.get(claim, "spec.storageClassName", "")
        found = self._listers.get(STORAGE_CLASSES, name) if name else None
        provisions = found is not None and found.get("provisioner") not in (None, "", NO_PROVISIONER)
        return found if provisions else None

    def decide(self, claims: Iterable[Obj], node: Obj) -> Decision | None:
        """Promise each claim a volume or its provisioner on this node; None when one finds neither."""
        decision = Decision()
        for claim in sorted(claims, key=requested):
            volume = next((v for v in self.candidates(claim) if reachable(v, node)), None)
            chosen = meta.annotations(claim).get(SELECTED_NODE)
            if volume is not None and chosen is None:
                self._promised[meta.name(volume)] = meta.key(claim)
                decision.static.append((claim, volume))
            elif self._may_provision(claim, node):
                decision.provision.append(claim)
            else:
                self.release(decision)
                return None
        return decision

    def _may_provision(self, claim: Obj, node: Obj) -> bool:
        storage_class = self.provisioning_class(claim)
        if storage_class is None:
            return False
        terms = topology_terms(storage_class)
        return terms is None or match_node_selector_terms(terms, node)

    def release(self, decision: Decision) -> None:
        """Take the promises back."""
        for _, volume in decision.static:
            self._promised.pop(meta.name(volume), None)


class ClaimBinder:
    """Writes a decision to the API server and waits until the claims are bound."""

    def __init__(self, client: Client, listers: Listers, seconds: float = BIND_SECONDS) -> None:
        self._client, self._listers, self._seconds = client, listers, seconds
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """A claim or a volume changed: whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def bind(self, decision: Decision, node: Obj) -> None:
        """Bind all claims for a pod of this node. Raises BindingFailed, ApiError."""
        written: dict[str, int] = {}
        try:
            for claim, volume in decision.static:
                await self._client.update(PERSISTENT_VOLUMES, _prebound(volume, claim))
            for claim in decision.provision:
                written[meta.key(claim)] = await self._select_node(claim, meta.name(node))
            async with asyncio.timeout(self._seconds):
                await self._all_bound(decision, node, written)
        except (Conflict, NotFound) as error:
            raise BindingFailed(f"binding volumes: {error.message}") from error
        except TimeoutError as error:
            raise BindingFailed("binding volumes: timed out waiting for the claims to be bound") from error

    async def _select_node(self, claim: Obj, node: str) -> int:
        if meta.annotations(claim).get(SELECTED_NODE) == node:
            return 0
        body = {
            "metadata": {
                "annotations": {SELECTED_NODE: node},
                "resourceVersion": meta.resource_version(claim),
            }
        }
        name, namespace = meta.name(claim), meta.namespace(claim)
        patched = await self._client.patch(PERSISTENT_VOLUME_CLAIMS, name, body, namespace)
        return int(meta.resource_version(patched))

    async def _all_bound(self, decision: Decision, node: Obj, written: dict[str, int]) -> None:
        while any(not self._bound(claim, node, written) for claim in decision.claims):
            await self._changed.wait()

    def _bound(self, claim: Obj, node: Obj, written: dict[str, int]) -> bool:
        key = meta.key(claim)
        now = self._listers.get(PERSISTENT_VOLUME_CLAIMS, meta.name(claim), meta.namespace(claim))
        if now is None:
            raise BindingFailed(f'binding volumes: persistentvolumeclaim "{meta.name(claim)}" is gone')
        if int(meta.resource_version(now)) < written.get(key, 0):
            return False  # the watch is not as far as our own write
        if is_bound(now):
            volume = self._listers.get(PERSISTENT_VOLUMES, now["spec"]["volumeName"])
            if volume is not None and not reachable(volume, node):
                raise BindingFailed(f'binding volumes: the volume of "{meta.name(claim)}" is out of reach')
            return volume is not None
        if key in written and SELECTED_NODE not in meta.annotations(now):
            raise BindingFailed(f'binding volumes: the provisioner gave up on "{meta.name(claim)}"')
        return False


def _prebound(volume: Obj, claim: Obj) -> Obj:
    """The volume, promised to the claim; the controller completes the claim's side."""
    changed = copy.deepcopy(volume)
    changed["spec"]["claimRef"] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": meta.resource_version(claim),
    }
    annotations = {**meta.annotations(volume), BOUND_BY_CONTROLLER: "yes"}
    changed["metadata"]["annotations"] = annotations
    return changed
