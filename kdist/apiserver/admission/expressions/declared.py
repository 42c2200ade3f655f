"""What expressions about admission requests may name, and of which types it is.

``object``, ``oldObject`` and ``params`` are dynamic: a policy may concern several kinds. ``request`` and
``namespaceObject`` have upstream's types.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from kdist.apiserver.cel import Environment, types
from kdist.apiserver.cel.declarations import AUTHORIZER
from kdist.apiserver.cel.types import DYN, STRING, TIMESTAMP, DeclType, list_of, map_of, object_of

_KIND = object_of({"group": STRING, "version": STRING, "kind": STRING}, "kubernetes.GroupVersionKind")
_RESOURCE = object_of(
    {"group": STRING, "version": STRING, "resource": STRING}, "kubernetes.GroupVersionResource"
)
_USER = object_of(
    {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(list_of(STRING)),
    },
    "kubernetes.UserInfo",
)
REQUEST = object_of(
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": types.BOOL,
        "options": DYN,
    },
    "kubernetes.AdmissionRequest",
)
_CONDITION = object_of(
    {
        "status": STRING,
        "type": STRING,
        "lastTransitionTime": TIMESTAMP,
        "message": STRING,
        "reason": STRING,
    },
    "kubernetes.NamespaceCondition",
)
_METADATA = object_of(
    {
        **dict.fromkeys(("name", "generateName", "namespace", "UID", "resourceVersion"), STRING),
        **dict.fromkeys(("labels", "annotations"), map_of(STRING)),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), TIMESTAMP),
        **dict.fromkeys(("deletionGracePeriodSeconds", "generation"), types.INT),
        "finalizers": list_of(STRING),
    },
    "kubernetes.NamespaceMetadata",
)
NAMESPACE = object_of(
    {
        "metadata": _METADATA,
        "spec": object_of({"finalizers": list_of(STRING)}, "kubernetes.NamespaceSpec"),
        "status": object_of(
            {"conditions": list_of(_CONDITION), "phase": STRING}, "kubernetes.NamespaceStatus"
        ),
    },
    "kubernetes.Namespace",
)
_RESOURCE_CHECK = "kubernetes.authorization.ResourceCheck"


def variables(
    *, params: bool, authorizer: bool, subject: DeclType = DYN, param: DeclType = DYN
) -> dict[str, DeclType]:
    """The variables of an expression; ``subject`` and ``param`` are the types to check it against."""
    declared = {"object": subject, "oldObject": subject, "request": REQUEST, "namespaceObject": NAMESPACE}
    if params:
        declared["params"] = param
    if authorizer:
        declared["authorizer"] = types.opaque(AUTHORIZER)
        declared["authorizer.requestResource"] = types.opaque(_RESOURCE_CHECK)
    return declared


@cache
def environment(*, params: bool, authorizer: bool) -> Environment:
    """What expressions without variables of their own are compiled in."""
    return Environment(variables(params=params, authorizer=authorizer))


def composed(base: Mapping[str, DeclType], own: Mapping[str, DeclType]) -> Environment:
    """What the expressions of a policy with ``variables`` are compiled in."""
    return Environment({**base, "variables": object_of(own, "kubernetes.variables")})
