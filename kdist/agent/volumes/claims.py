"""From a pod's claim to the PersistentVolume behind it, with an answer for each way in which it can fail."""

from __future__ import annotations

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes.api import Api
from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from kdist.api.meta import Obj


def claim_name(pod: Obj, volume: Obj) -> str:
    """The claim of a ``persistentVolumeClaim`` volume, or of a generic ``ephemeral`` one."""
    if "ephemeral" in volume:
        return f"{meta.name(pod)}-{volume['name']}"
    return str(volume["persistentVolumeClaim"]["claimName"])


async def find(api: Api, pod: Obj, volume: Obj) -> Obj:
    """The PersistentVolume bound to the claim. Raises VolumeError and the ApiError tree."""
    name, namespace = claim_name(pod, volume), meta.namespace(pod)
    where = f'persistentvolumeclaim "{name}" (volume "{volume["name"]}")'
    try:
        claim = await api.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
    except NotFound:
        raise VolumeError(f"{where} not found") from None
    check_claim(pod, volume, claim, where)
    pv_name = claim["spec"]["volumeName"]
    try:
        pv = await api.get(PERSISTENT_VOLUMES, pv_name)
    except NotFound:
        raise VolumeError(f'{where}: persistentvolume "{pv_name}" not found') from None
    if meta.get(pv, "spec.claimRef.uid") != meta.uid(claim):
        raise VolumeError(f'{where}: persistentvolume "{pv_name}" is bound to another claim')
    return pv


def check_claim(pod: Obj, volume: Obj, claim: Obj, where: str) -> None:
    """That the claim may be used by this pod now. Pure; raises VolumeError."""
    if "ephemeral" in volume:
        owner = meta.controller_of(claim)
        if owner is None or owner.get("uid") != meta.uid(pod):
            raise VolumeError(f"{where} was not created for this pod")
    phase = meta.get(claim, "status.phase", "Pending")
    if phase != "Bound" or not meta.get(claim, "spec.volumeName"):
        raise VolumeError(f"{where} is not bound: {phase}")
