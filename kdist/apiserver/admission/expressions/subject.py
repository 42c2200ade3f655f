"""The values of an admission request for expressions about it."""

from __future__ import annotations

from typing import Any

from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.webhooks import review
from kdist.apiserver.cel.library.authorization import Authorizer, AuthorizerValue, ResourceCheck
from kdist.apiserver.ports import Obj

_METADATA = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
)


def bindings(
    request: Request,
    kind: Kind,
    obj: Obj | None,
    old: Obj | None,
    *,
    authorizer: Authorizer,
    namespace: Obj | None = None,
) -> dict[str, Any]:
    """Values by variable, all but ``params`` and ``variables``; objects are in the version of ``kind``."""
    return {
        "object": obj,
        "oldObject": old,
        "request": _request(request, kind, obj, old),
        "namespaceObject": None if namespace is None else _namespace(namespace),
        **_authorizer(request, authorizer),
    }


def _request(request: Request, kind: Kind, obj: Obj | None, old: Obj | None) -> Obj:
    asked: Obj = review.question(request, kind, "", obj, old)["request"]
    for field in ("uid", "object", "oldObject"):
        del asked[field]
    if request.resource.kind == "Namespace":  # a namespace is in itself for webhooks only
        asked.pop("namespace", None)
        if request.namespace or request.name:
            asked["namespace"] = request.namespace or request.name
    return asked


def _namespace(namespace: Obj) -> Obj:
    """The parts of a namespace that expressions see."""
    metadata = namespace["metadata"]
    seen: Obj = {"metadata": {field: metadata[field] for field in _METADATA if field in metadata}}
    seen.update((field, namespace[field]) for field in ("spec", "status") if field in namespace)
    return seen


def _authorizer(request: Request, authorizer: Authorizer) -> dict[str, Any]:
    asked = AuthorizerValue(request.user, authorizer)
    resource = ResourceCheck(
        asked,
        request.resource.group,
        request.resource.plural,
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name,
    )
    return {"authorizer": asked, "authorizer.requestResource": resource}
