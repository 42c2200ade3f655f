"""Every pod runs as a service account, with its token, CA and namespace mounted as clients expect them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from kdist.api import errors, meta
from kdist.api.kinds import SERVICE_ACCOUNTS
from kdist.apiserver.admission.base import CREATE, Plugin, Request, is_mirror_pod, targets
from kdist.apiserver.authn.tokens import WARN_AFTER_SECONDS
from kdist.apiserver.authz.nodegraph import pod_references
from kdist.apiserver.ports import Obj, Reader, Writer

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
# The alphabet of generated names: no vowels, nothing that looks like something else.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# The same for all pods: it has to be unique within a pod only, and pods of one template then have equal specs.
_SUFFIX = "".join(random.choices(_ALPHABET, k=5))


class ServiceAccount(Plugin):
    """Defaults the account, mounts its token, takes over its image pull secrets."""

    targets = targets("pods")
    operations = CREATE

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def admit(self, request: Request) -> None:
        """Complete the pod. Forbidden when its account does not exist."""
        pod = request.body
        if is_mirror_pod(pod):
            _check_mirror(request, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(request, name)
        if _automount(spec, account):
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(ref) for ref in account["imagePullSecrets"]]

    async def _account(self, request: Request, name: str) -> Obj:
        found = self._reader.get(SERVICE_ACCOUNTS, request.namespace, name)
        if found is not None:
            return found
        try:
            return await self._writer.get(SERVICE_ACCOUNTS, request.namespace, name)
        except errors.NotFound as error:
            raise request.forbidden(
                f"error looking up service account {request.namespace}/{name}: "
                f'serviceaccount "{name}" not found'
            ) from error


def _automount(spec: Obj, account: Obj) -> bool:
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def mount_token(spec: Obj) -> None:
    """Mount the token volume into every container that has nothing of its own at that path."""
    volumes = spec.get("volumes") or []
    name = next((v["name"] for v in volumes if v["name"].startswith(VOLUME_PREFIX)), None)
    known = name is not None
    volume = name or VOLUME_PREFIX + _SUFFIX
    bare = list(_without_mount(spec))
    for container in bare:
        mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    if bare and not known:
        spec["volumes"] = [*volumes, token_volume(volume)]


def _without_mount(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            paths = {mount.get("mountPath") for mount in container.get("volumeMounts") or ()}
            if MOUNT_PATH not in paths:
                yield container


def token_volume(name: str) -> Obj:
    """The projected volume of token, CA bundle and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    ca = {"key": "ca.crt", "path": "ca.crt"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": WARN_AFTER_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA_CONFIG_MAP, "items": [ca]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}


def _check_mirror(request: Request, pod: Obj) -> None:
    """A mirror pod gives a node nothing it does not have: no account, no secrets, no tokens."""
    if pod["spec"].get("serviceAccountName"):
        raise request.forbidden("a mirror pod may not reference service accounts")
    if any(resource == "secrets" for resource, _, _ in pod_references(pod)):
        raise request.forbidden("a mirror pod may not reference secrets")
    for volume in pod["spec"].get("volumes") or ():
        if any(source.get("serviceAccountToken") for source in meta.get(volume, "projected.sources", ())):
            raise request.forbidden("a mirror pod may not use ServiceAccountToken volume projections")
