"""Makes the claims of generic ephemeral volumes: a claim for each such volume of a pod, which dies with its pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdist.api import meta, pods
from kdist.api.errors import AlreadyExists, ApiError
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PODS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.ownership import is_terminating_namespace

_BY_CLAIM = "ephemeral-claim"


def wanted_claims(pod: Obj) -> list[Obj]:
    """The claims of the pod's ephemeral volumes."""
    return [
        _claim(pod, f"{meta.name(pod)}-{volume['name']}", volume["ephemeral"])
        for volume in meta.get(pod, "spec.volumes") or ()
        if "ephemeral" in volume
    ]


def _claim(pod: Obj, name: str, source: Obj) -> Obj:
    template = source.get("volumeClaimTemplate") or {}
    given = template.get("metadata") or {}
    metadata: Obj = {
        "name": name,
        "namespace": meta.namespace(pod),
        "ownerReferences": [meta.owner_ref(pod, PODS)],
        **{field: dict(given[field]) for field in ("labels", "annotations") if field in given},
    }
    return {"metadata": metadata, "spec": template.get("spec") or {}}


def _claim_keys(pod: Mapping[str, Any]) -> Iterator[str]:
    for volume in meta.get(pod, "spec.volumes") or ():
        if "ephemeral" in volume:
            yield f"{meta.namespace(pod)}/{meta.name(pod)}-{volume['name']}"


class EphemeralVolumeController(Controller):
    """One key is one pod."""

    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def setup(self) -> None:
        """Watch pods, and claims, as one that vanished is made again."""
        self._pods = self.watch(PODS, self._pod_changed, indexers={_BY_CLAIM: _claim_keys})
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS, self._claim_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and next(_claim_keys(new), None):
            self.queue.add(meta.key(new))

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            for pod in self._pods.by_index(_BY_CLAIM, meta.key(old or {})):
                self.queue.add(meta.key(pod))

    async def reconcile(self, key: str) -> float | None:
        """Create the claims that are missing."""
        pod = self._pods.get(key)
        if pod is None or meta.is_deleting(pod) or pods.is_terminal(pod):
            return None
        for claim in wanted_claims(pod):
            found = self._claims.get(meta.key(claim))
            if found is None:
                await self._create(pod, claim)
            elif not _belongs(found, pod):
                self._refuse(pod, claim)
        return None

    async def _create(self, pod: Obj, claim: Obj) -> None:
        try:
            await self.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
        except AlreadyExists:
            return  # the watch will tell whose it is
        except ApiError as error:
            if is_terminating_namespace(error):
                return
            told = f"ephemeral volume controller failed to create PVC {meta.name(claim)}: {error}"
            self.events.event(pod, "Warning", "FailedBinding", told)
            raise

    def _refuse(self, pod: Obj, claim: Obj) -> None:
        """Somebody else's claim of that name is not taken: its data are not this pod's."""
        told = f'PVC "{meta.key(claim)}" was not created for pod "{meta.key(pod)}" (pod is not owner)'
        self.events.event(pod, "Warning", "FailedBinding", told)


def _belongs(claim: Obj, pod: Obj) -> bool:
    owner = meta.controller_of(claim)
    return owner is not None and owner.get("uid") == meta.uid(pod)
