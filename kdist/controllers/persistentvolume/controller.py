"""Binds claims and volumes: static ones by matching, dynamic ones through their provisioner.

Volumes are deleted by the provisioner that made them, which sees the phase Released written here.
"""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.persistentvolume import plan as planning
from kdist.controllers.persistentvolume.plan import Step

# Keys of volumes carry a mark, because both kinds share the queue: binding one is binding the other.
_VOLUME = "volume:"


class PersistentVolumeController(Controller):
    """A key is a claim (``namespace/name``) or a volume (``volume:name``)."""

    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"

    def setup(self) -> None:
        """Watch claims, volumes and classes."""
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS, self._claim_changed)
        self._volumes = self.watch(PERSISTENT_VOLUMES, self._volume_changed)
        self._classes = self.watch(STORAGE_CLASSES, self._class_changed)

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        claim = new or old or {}
        self.queue.add(meta.key(claim))
        if volume := meta.get(claim, "spec.volumeName"):
            self.queue.add(_VOLUME + volume)

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        volume = new or old or {}
        self.queue.add(_VOLUME + meta.name(volume))
        if ref := meta.get(volume, "spec.claimRef"):
            self.queue.add(f"{ref['namespace']}/{ref['name']}")
        else:
            self._enqueue_pending()

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._enqueue_pending()

    def _enqueue_pending(self) -> None:
        for claim in self._claims.list():
            if not meta.get(claim, "spec.volumeName"):
                self.queue.add(meta.key(claim))

    async def reconcile(self, key: str) -> float | None:
        """Bring one claim or volume on."""
        if key.startswith(_VOLUME):
            volume = self._volumes.get(key.removeprefix(_VOLUME))
            if volume is not None:
                await self._reconcile_volume(volume)
            return None
        claim = self._claims.get(key)
        if claim is None or meta.is_deleting(claim):
            return None
        if meta.get(claim, "spec.volumeName"):
            await self._complete(claim)
        else:
            await self._bind(claim)
        return None

    async def _bind(self, claim: Obj) -> None:
        storage_class = self._classes.get(planning.class_of(claim))
        todo = planning.next_step(claim, self._volumes.list(), storage_class)
        if todo.step is Step.BIND and todo.volume is not None:
            volume = await self._refer(todo.volume, claim)
            await self._finish(claim, volume)
        elif todo.step is Step.PROVISION:
            await self._ask(claim, todo.provisioner)
        else:
            await self._pending(claim, todo.step)

    async def _refer(self, volume: Obj, claim: Obj) -> Obj:
        """Write the volume's half of the binding; the resourceVersion in it makes two binders collide."""
        if meta.get(volume, "spec.claimRef.uid") == meta.uid(claim):
            return volume
        body = {**volume, "spec": {**volume["spec"], "claimRef": planning.claim_ref(claim)}}
        body["metadata"] = {
            **volume["metadata"],
            "annotations": {**meta.annotations(volume), planning.BOUND_BY_CONTROLLER: "yes"},
        }
        return await self.client.update(PERSISTENT_VOLUMES, body)

    async def _finish(self, claim: Obj, volume: Obj) -> None:
        """Write the claim's half, then both statuses."""
        marks = {planning.BIND_COMPLETED: "yes", planning.BOUND_BY_CONTROLLER: "yes"}
        annotations = {**meta.annotations(claim), **marks}
        body = {**claim, "spec": {**claim["spec"], "volumeName": meta.name(volume)}}
        body["metadata"] = {**claim["metadata"], "annotations": annotations}
        claim = await self.client.update(PERSISTENT_VOLUME_CLAIMS, body)
        await self._set_phase(volume, "Bound")
        await self._report(claim, planning.bound_status(claim, volume))

    async def _complete(self, claim: Obj) -> None:
        """Look after a claim that names its volume: finish what is half done, notice what is lost."""
        volume = self._volumes.get(claim["spec"]["volumeName"])
        if volume is None:
            if planning.BIND_COMPLETED in meta.annotations(claim):
                self.events.event(claim, "Warning", "ClaimLost", "Bound claim has lost its PersistentVolume.")
                await self._report(claim, {**(claim.get("status") or {}), "phase": "Lost"})
            return
        ref = meta.get(volume, "spec.claimRef")
        if ref and not planning.is_bound_to(volume, claim):
            message = (
                f'volume "{meta.name(volume)}" is already bound to claim {ref["namespace"]}/{ref["name"]}'
            )
            self.events.event(claim, "Warning", "FailedBinding", message)
            return
        volume = await self._refer(volume, claim)
        if planning.BIND_COMPLETED not in meta.annotations(claim):
            await self._finish(claim, volume)
            return
        await self._report(claim, planning.bound_status(claim, volume))

    async def _ask(self, claim: Obj, provisioner: str) -> None:
        """Tell the provisioner by annotation, as it expects to be told."""
        if meta.annotations(claim).get(planning.STORAGE_PROVISIONER) != provisioner:
            marks = {
                planning.STORAGE_PROVISIONER: provisioner,
                planning.BETA_STORAGE_PROVISIONER: provisioner,
            }
            patch = {"metadata": {"annotations": marks}}
            where = (meta.name(claim), patch, meta.namespace(claim))
            await self.client.patch(PERSISTENT_VOLUME_CLAIMS, *where)
        text = (
            "Waiting for a volume to be created either by the external provisioner "
            f"'{provisioner}' or manually by the system administrator."
        )
        self.events.event(claim, "Normal", "ExternalProvisioning", text)

    async def _pending(self, claim: Obj, step: Step) -> None:
        told = {
            Step.WAIT_FOR_CONSUMER: (
                "Normal",
                "WaitForFirstConsumer",
                "waiting for the first pod that uses the claim",
            ),
            Step.WAIT_FOR_VOLUME: (
                "Normal",
                "FailedBinding",
                "no persistent volume fits and no storage class is set",
            ),
            Step.WAIT_FOR_CLASS: (
                "Warning",
                "ProvisioningFailed",
                f'storageclass.storage.k8s.io "{planning.class_of(claim)}" not found',
            ),
        }
        self.events.event(claim, *told[step])
        if not meta.get(claim, "status.phase"):
            await self._report(claim, {**(claim.get("status") or {}), "phase": "Pending"})

    async def _report(self, claim: Obj, status: Obj) -> None:
        if status != (claim.get("status") or {}):
            await self.client.update(
                PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, subresource="status"
            )

    async def _reconcile_volume(self, volume: Obj) -> None:
        ref = meta.get(volume, "spec.claimRef")
        claim = None
        if ref and ref.get("uid"):
            claim = await self._living_claim(ref)
        phase = planning.volume_phase(volume, claim)
        await self._set_phase(volume, phase)
        if claim is not None and not meta.get(claim, "spec.volumeName"):
            self.queue.add(meta.key(claim))

    async def _living_claim(self, ref: Obj) -> Obj | None:
        """The claim of a reference; a cache that lags must not release a volume, so absence is asked live."""
        cached = self._claims.get(f"{ref['namespace']}/{ref['name']}")
        if cached is not None and meta.uid(cached) == ref["uid"]:
            return cached
        try:
            return await self.client.get(PERSISTENT_VOLUME_CLAIMS, ref["name"], ref["namespace"])
        except NotFound:
            return None

    async def _set_phase(self, volume: Obj, phase: str) -> None:
        if meta.get(volume, "status.phase") == phase:
            return
        status = {**(volume.get("status") or {}), "phase": phase, "lastPhaseTransitionTime": meta.now()}
        try:
            await self.client.update(PERSISTENT_VOLUMES, {**volume, "status": status}, subresource="status")
        except NotFound:
            return  # deleted meanwhile, which is fine
