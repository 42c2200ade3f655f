"""The ``token`` subresource of service accounts: issue a bound token."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from kdist.api import errors, meta
from kdist.api.errors import BadRequest, Cause, Conflict
from kdist.api.kinds import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from kdist.apiserver.authn.keys import KeySet
from kdist.apiserver.authn.tokens import EXTENDED_SECONDS, WARN_AFTER_SECONDS, claims_for
from kdist.apiserver.ports import Obj, Writer

MIN_SECONDS, MAX_SECONDS, DEFAULT_SECONDS = 600, 1 << 32, 3600
_KINDS = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_BINDABLE = {("v1", kind) for kind in _KINDS}


class TokenIssuer:
    """Answers TokenRequests. ``audiences`` are the server's own, the default of a request that names none."""

    def __init__(
        self,
        keys: KeySet,
        writer: Writer,
        *,
        issuer: str,
        audiences: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._writer, self._clock = keys, writer, clock
        self._issuer, self._audiences = issuer, tuple(audiences)

    async def issue(self, namespace: str, name: str, request: Obj) -> Obj:
        """The request with its status filled in. NotFound, Invalid, Conflict, BadRequest."""
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
        audiences = spec.get("audiences") or list(self._audiences)
        ref = spec.get("boundObjectRef")
        if (named := meta.name(request) if request.get("metadata") else "") and named != name:
            told = f'Invalid value: "{named}": must match the service account name if specified'
            cause = Cause("metadata.name", told, "FieldValueInvalid")
            raise errors.invalid("authentication.k8s.io", "TokenRequest", name, [cause])
        _validate(name, seconds, ref)
        account = await self._writer.get(SERVICE_ACCOUNTS, namespace, name)
        bound = await self._bound(account, ref) if ref else {}
        now = self._clock()
        extend = seconds == WARN_AFTER_SECONDS and "pod" in bound and set(audiences) <= set(self._audiences)
        claims = claims_for(
            account,
            issuer=self._issuer,
            audiences=audiences,
            seconds=EXTENDED_SECONDS if extend else seconds,
            now=now,
            bound=bound,
            warn_after=seconds if extend else None,
        )
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": meta.now()},
            "spec": {"boundObjectRef": None, **spec, "expirationSeconds": seconds, "audiences": audiences},
            "status": {
                "token": self._keys.sign(claims),
                "expirationTimestamp": _rfc3339(int(now) + seconds),
            },
        }

    async def _bound(self, account: Obj, ref: Obj) -> dict[str, Obj]:
        kind = _KINDS[ref["kind"]]
        namespace = meta.namespace(account) if kind.namespaced else None
        obj = await self._writer.get(kind, namespace, ref["name"])
        if ref.get("uid") and ref["uid"] != meta.uid(obj):
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise Conflict(
                f'Operation cannot be fulfilled on {ref["kind"]} "{ref["name"]}": {why}',
                details={"name": ref["name"], "kind": ref["kind"]},
            )
        if kind is not PODS:
            return {ref["kind"].lower(): obj}
        runs_as = meta.get(obj, "spec.serviceAccountName", "")
        if runs_as != meta.name(account):
            raise BadRequest(
                f'cannot bind token for serviceaccount "{meta.name(account)}" '
                "to pod running with different serviceaccount name."
            )
        return {"pod": obj, **await self._node_of(obj)}

    async def _node_of(self, pod: Obj) -> dict[str, Obj]:
        name = meta.get(pod, "spec.nodeName", "")
        if not name:
            return {}
        try:
            return {"node": await self._writer.get(NODES, None, name)}
        except errors.NotFound:  # informational only: a pod may outlive its node
            return {}


def _validate(name: str, seconds: int, ref: Obj | None) -> None:
    causes: list[Cause] = []
    field = "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        causes.append(
            Cause(field, f"Invalid value: {seconds}: may not specify a duration less than 10 minutes")
        )
    if seconds > MAX_SECONDS:
        causes.append(
            Cause(field, f"Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds")
        )
    if ref is not None and (ref.get("apiVersion") or "v1", ref.get("kind")) not in _BINDABLE:
        group, _, version = (ref.get("apiVersion") or "").rpartition("/")
        raise BadRequest(
            f"cannot bind token to object of type {group}/{version}, Kind={ref.get('kind') or ''}"
        )
    if ref is not None and not ref.get("name"):
        raise BadRequest("Name parameter required.")
    if causes:
        raise errors.invalid("authentication.k8s.io", "TokenRequest", "", causes)


def _rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
