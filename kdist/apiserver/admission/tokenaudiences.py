"""Whom the tokens of a pod may be for when its node asks: those that the pod's volumes name.

From 1.33 on (gate ``ServiceAccountNodeAudienceRestriction``); other audiences take the verb
``request-serviceaccounts-token-audience`` on the audience.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta
from kdist.api.kinds import CSI_DRIVERS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from kdist.apiserver.admission.base import Request
from kdist.apiserver.authz import Attributes
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.ports import Obj, Reader

VERB = "request-serviceaccounts-token-audience"


async def check(request: Request, pod: Obj, reader: Reader, authorizer: Authorizer) -> None:
    """Raise Forbidden when the node may not ask for this audience."""
    audiences = meta.get(request.body, "spec.audiences", [])
    if len(audiences) > 1:
        raise request.forbidden("node may only request 0 or 1 audiences")
    wanted = audiences[0] if audiences else ""
    if wanted in _referenced(pod, reader):
        return
    asked = Attributes(request.user, VERB, "", "v1", wanted, "", request.namespace, request.name)
    if not (await authorizer.settle(authorizer.authorize, asked)).allowed:
        told = (
            f'audience "{wanted}" not found in pod spec volume, {request.user.name} is not authorized to request '
            "tokens for this audience"
        )
        raise request.forbidden(told)


def _referenced(pod: Obj, reader: Reader) -> Iterator[str]:
    """The audiences of the pod's projected tokens, and of those that its volumes' drivers get."""
    for volume in meta.get(pod, "spec.volumes", []):
        for source in (volume.get("projected") or {}).get("sources") or ():
            if (token := source.get("serviceAccountToken")) is not None:
                yield token.get("audience") or ""
        driver = reader.get(CSI_DRIVERS, None, name) if (name := _driver(volume, pod, reader)) else None
        for wanted in meta.get(driver or {}, "spec.tokenRequests", []):
            yield wanted.get("audience") or ""


def _driver(volume: Obj, pod: Obj, reader: Reader) -> str:
    """The CSI driver that mounts a volume; empty when none does, or nobody knows yet."""
    if (inline := volume.get("csi")) is not None:
        return str(inline.get("driver") or "")
    claim = meta.get(volume, "persistentVolumeClaim.claimName", "")
    if volume.get("ephemeral") is not None:
        claim = f"{meta.name(pod)}-{volume.get('name')}"
    found = reader.get(PERSISTENT_VOLUME_CLAIMS, meta.namespace(pod), claim) if claim else None
    bound = meta.get(found or {}, "spec.volumeName", "")
    disk = reader.get(PERSISTENT_VOLUMES, None, bound) if bound else None
    return str(meta.get(disk or {}, "spec.csi.driver", ""))
